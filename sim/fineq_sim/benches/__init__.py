"""cocotb testbenches. They run inside a simulator (see `fineq_sim.runs.regression`), not under pytest."""
