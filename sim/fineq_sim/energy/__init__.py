"""Energy of a run: the machine's counters times what one event takes, each figure with its source; what has not been
measured is named and never filled in."""
