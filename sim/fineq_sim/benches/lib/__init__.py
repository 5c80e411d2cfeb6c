"""Benches of the bench library itself."""
