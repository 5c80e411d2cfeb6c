"""What the benches share: clock and reset, stream drivers, memories, parameters."""
