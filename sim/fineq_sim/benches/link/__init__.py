"""Benches of machines behind a serial line, through their pins."""
