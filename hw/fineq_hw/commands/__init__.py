"""Sub-commands of `fineq` that come with the RTL; they import inside their functions."""
