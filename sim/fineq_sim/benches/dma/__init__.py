"""Benches of `fineq_hw.dma`."""
