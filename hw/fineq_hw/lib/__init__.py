"""What all rooms of the hardware use: hierarchy, bus ports, queues."""
