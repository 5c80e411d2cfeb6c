"""The vector processing unit: scales, bias, activation function, requantization (paper Fig. 5(a))."""
