"""Names of what a run tells its testbench beside the configuration; known without a simulator."""

INPUT_PORTS = "input_ports"
"""Names of all inputs of the design."""
