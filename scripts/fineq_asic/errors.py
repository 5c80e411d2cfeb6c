"""The one exception of the synthesis flow: its text says what is wrong and what to do."""

from __future__ import annotations

from fineq.common.errors import UserError


class SynthesisError(UserError, RuntimeError):
    """A step of the synthesis flow cannot go on; the text is one sentence for the user."""
