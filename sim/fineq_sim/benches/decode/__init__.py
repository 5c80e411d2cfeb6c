"""Benches of `fineq_hw.decode`."""
