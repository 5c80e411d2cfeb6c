"""The table of what makes a weight file a bad one: changes of a file that has been taken apart."""

from fineq_sim.fuzz.files.parts import Parts

__all__ = ["BAD", "Parts", "bad"]

BAD = {}


def bad(message: str):
    """Register a maker of a bad file: it changes `parts` and returns the file's bytes, or None for `parts.join()`."""

    def register(make):
        BAD[make.__name__] = (make, message)
        return make

    return register
