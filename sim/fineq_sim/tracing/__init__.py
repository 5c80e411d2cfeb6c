"""What the machine does in every cycle of a chain, from the cycle-level twin, as a trace that Perfetto opens."""
