"""Benches of the whole accelerator."""
