"""cocotb testbenches. They run inside a simulator (see `fineq_sim.regression`), not under pytest."""
