"""A workload on a machine: steps of its weights, engines, attention, energy, and the record of all that."""
