"""Mutations of packed files against the reader of checkpoints, which this room sees as software alone."""
