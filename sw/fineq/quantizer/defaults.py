"""What is taken when the user names nothing. This module imports nothing, so that `fineq --help` may know it."""

DEFAULT_RECIPE = "mse"
"""Of `fineq.quantize`, `fineq quantize` and `fineq vectors`: the most accurate recipe that needs no data."""
