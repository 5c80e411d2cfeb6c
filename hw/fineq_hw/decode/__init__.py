"""From packed bytes to padded 3-bit weights (paper Fig. 6)."""
