"""A language model on the accelerator: every linear layer of every block runs on the machine, the rest on the host.

Activations are quantized to int8 per token (`fineq.quantize_activations`), the machine makes the integer sums, and
the host multiplies with both scales in float32. Every result is compared with the integer reference.
"""
