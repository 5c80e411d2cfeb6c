"""Benches of `fineq_hw.control`."""
