"""Sub-commands of `fineq` that write hardware."""
