"""Random descriptors and register accesses against two machines at once: the functional model and the RTL."""
