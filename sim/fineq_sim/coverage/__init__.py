"""Functional coverage: what the regression has to meet, declared room by room, counted in the benches, reported."""
