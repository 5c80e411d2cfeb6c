"""From components to Verilog files, linted."""
