"""What can go wrong with the accelerator, as exceptions."""

from __future__ import annotations

from fineq.common.errors import UserError


class AcceleratorError(UserError, RuntimeError):
    """The accelerator cannot do what was asked, or refused it. The text says what is wrong and what to do.

    Attributes:
        code: name of the hardware's error code, or None if the driver noticed by itself.
        field: descriptor field that the hardware objects to, or None.
        address: of the transfer or descriptor concerned, or None.
    """

    def __init__(self, text: str, *, code: str | None = None, field: str | None = None, address: int | None = None):
        super().__init__(text)
        self.code, self.field, self.address = code, field, address


class OutOfMemoryError(AcceleratorError):
    """The device memory has no free range of the size that is needed."""


class AcceleratorTimeout(AcceleratorError):
    """The accelerator did not finish in the cycles that it was given."""
