"""Pictures of the machine taken from the machine: block diagram from the Verilog, timing from a waveform."""
