"""The temporal-coding array (paper Fig. 5(b, c)): encoders, processing elements, adder-tree accumulators, control."""
