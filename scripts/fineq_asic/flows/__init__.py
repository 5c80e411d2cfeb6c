"""Whole flows: what is run at a size and what it found."""
