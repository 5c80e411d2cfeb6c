"""Makers of damaged and hostile weight files, by name, each with a part of the sentence that refuses it."""

import bad_containers  # noqa: F401  (both fill the table)
import bad_contents  # noqa: F401
from weight_file_parts import BAD, Parts

__all__ = ["BAD", "Parts"]
