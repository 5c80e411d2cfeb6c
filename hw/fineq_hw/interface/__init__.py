"""What software must know of the machine: registers, descriptors, error codes, layouts in memory."""
