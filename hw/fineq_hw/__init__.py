"""FineQ accelerator: Amaranth components for the decoder, the temporal-coding array and its baselines."""
