"""The clock of all published figures."""

CLOCK_NS = 2.5
"""Period, 400 MHz: the paper's (Section V-C)."""
