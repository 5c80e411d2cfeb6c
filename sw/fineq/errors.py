"""The error that every part of FineQ raises for bad input."""


class FineqError(ValueError):
    """Bad input. The text is one sentence that says what is wrong and what to do; command lines print it as it is."""
