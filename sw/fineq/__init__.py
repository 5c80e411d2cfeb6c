"""FineQ: fine-grained mixed-precision 2.33-bit quantization of LLM weights."""
