"""Benches of `fineq_hw.array`."""
