"""Every model type of the installed transformers, tiny and with random weights, through FineQ and back."""
