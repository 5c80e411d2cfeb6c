"""The demo's steps: a model through the quantizer, a layer through the RTL, an array through synthesis."""
