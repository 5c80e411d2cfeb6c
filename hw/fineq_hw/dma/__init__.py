"""Read and write engines of the memory port (paper Fig. 5(a), DMA)."""
