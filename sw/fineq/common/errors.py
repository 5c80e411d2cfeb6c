"""Errors whose text is for the user: one sentence that says what is wrong and what to do.

Every room has its own, so that code can tell them apart; the command line prints any of them and exits with 1.
"""

from __future__ import annotations


class UserError(Exception):
    """Base of all of them."""


class FineqError(UserError, ValueError):
    """Bad input."""


class CheckFailed(UserError):
    """What a command was to check does not hold; its report says more."""
