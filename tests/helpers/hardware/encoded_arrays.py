"""Arrays in every encoding."""

from __future__ import annotations

from fineq.format.temporal import ENCODINGS, PULSES
from fineq_hw.config import ROW_SIGN_ENCODINGS, SIGN_HANDLING, ArrayConfig


def in_every_encoding(**parameters) -> list[ArrayConfig]:
    """Arrays with these parameters in every encoding, with every handling of signs that it knows."""
    return [
        ArrayConfig(**parameters, encoding=encoding, sign_handling=sign)
        for encoding in ENCODINGS
        for sign in SIGN_HANDLING
        if sign == "column" or encoding in ROW_SIGN_ENCODINGS
    ]


PULSED = [config for config in in_every_encoding() if config.encoding in PULSES]
"""Those whose weights have pulses of their own, column by column."""


def encoding_label(config: ArrayConfig) -> str:
    """Names a test's configuration."""
    return f"{config.encoding}-{config.sign_handling}"
