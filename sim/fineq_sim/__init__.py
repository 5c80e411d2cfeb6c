"""FineQ simulation: cocotb testbenches, golden-vector driver and cycle model."""
