"""Benches of `fineq_hw.buffers`."""
