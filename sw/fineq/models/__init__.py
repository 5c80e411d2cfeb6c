"""Language models: where they are, whether they are whole, their linear layers, and the inputs of those."""
