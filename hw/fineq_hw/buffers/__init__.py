"""Double buffers between memory and array (paper Fig. 5(a))."""
