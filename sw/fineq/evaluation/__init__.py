"""Perplexity by the usual protocol, and every method that can be measured, by name."""
