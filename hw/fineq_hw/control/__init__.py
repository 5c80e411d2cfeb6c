"""Registers, descriptors, jobs and the walk over tiles (paper Fig. 5(a), control unit)."""
