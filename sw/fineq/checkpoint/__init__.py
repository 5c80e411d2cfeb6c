"""Model directories on disk: strict reading, quantization, checksums (docs/quantizer/checkpoint-format.md)."""
