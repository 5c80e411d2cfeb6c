"""Language models in Hugging Face layout."""
