"""Commands that map the RTL to a library: area, timing, power, proofs, layouts."""
