"""Switching activity of mapped netlists on real data, with and without glitches."""
