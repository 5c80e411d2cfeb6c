"""Many machines on one workload: spaces, points kept by what they depend on, and the best of them."""
