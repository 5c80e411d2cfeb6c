"""Sub-commands of `fineq` that measure, draw and report; they import inside their functions."""
