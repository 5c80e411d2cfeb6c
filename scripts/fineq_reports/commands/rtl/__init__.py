"""Commands that show the RTL: diagrams and registers, what it takes of an FPGA."""
