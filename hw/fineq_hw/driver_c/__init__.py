"""The driver in C: an interface header made from `fineq_hw.interface`, and a small bare-metal library on top of it."""
