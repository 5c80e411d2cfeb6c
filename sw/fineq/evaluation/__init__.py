"""Perplexity by the usual protocol (`perplexity`), methods by name (`methods`), and both together (`evaluate`)."""
