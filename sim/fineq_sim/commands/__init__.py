"""Sub-commands of `fineq` that simulate."""
