"""Sub-commands of `fineq` for systems and boards; they import inside their functions."""
