"""Model directories on disk: strict reading, streaming quantization, checksums (docs/checkpoint-format.md)."""
