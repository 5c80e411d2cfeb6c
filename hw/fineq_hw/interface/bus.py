"""What both sides of an AXI bus call by the same name."""

from __future__ import annotations

from enum import IntEnum


class Response(IntEnum):
    """RRESP and BRESP."""

    OKAY = 0
    EXOKAY = 1
    SLVERR = 2
    """The device at the address reports an error."""
    DECERR = 3
    """No device at the address."""


PAGE_BYTES = 4096
"""No burst crosses a multiple of this."""
