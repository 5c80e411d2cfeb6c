"""Sub-commands of `fineq` that measure, draw and report."""
