"""Errors whose text is for the user: one sentence that says what is wrong and what to do.

Every room has its own, so that code can tell them apart; the command line prints any of them and exits with 1.
"""

from __future__ import annotations


class UserError(Exception):
    """Base of all of them."""


class FineqError(UserError, ValueError):
    """Bad input. The text often quotes it, so what would not print, or would break the line, is escaped."""

    def __init__(self, text: str = "") -> None:
        super().__init__(printable(text))


class CheckFailed(UserError):
    """What a command was to check does not hold; its report says more."""


def printable(text: str) -> str:
    """The text with line breaks, control characters, halves of characters and the like as escapes of Python."""
    return text if text.isprintable() else "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)
