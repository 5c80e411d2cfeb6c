"""Commands that put work on machines: the cycle-level simulator, whole layers, a model that writes."""
