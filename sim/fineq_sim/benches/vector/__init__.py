"""Benches of `fineq_hw.vector`."""
