"""Mapped netlists: read from Yosys, checked, flattened, buffered."""
