"""Benches of `fineq_hw.cells`."""
