"""The MAC array that the temporal-coding array is compared with (paper Table III)."""
