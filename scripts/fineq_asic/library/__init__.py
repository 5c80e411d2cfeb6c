"""The cell library: where it is, and what its Liberty file says."""
