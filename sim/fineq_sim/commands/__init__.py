"""Sub-commands of `fineq` that come with the simulation; they import inside their functions."""
