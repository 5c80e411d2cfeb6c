"""What is taken when the user names nothing. This module imports nothing, so that `fineq --help` may know it."""

DEFAULT_RECIPE = "mse"
"""Of `fineq.quantize` and `fineq vectors`: the most accurate recipe that needs no data. Of a whole model what
`AUTO_RECIPE` tries."""

AUTO_RECIPE = "auto"
"""Of `fineq quantize` and `fineq.quantize_model`: `CALIBRATED_RECIPE` if there is a calibration text, else
`DEFAULT_RECIPE` if the model survives it, which is measured (`fineq.evaluation.automatic`)."""

CALIBRATED_RECIPE = "calibrated"
"""What `AUTO_RECIPE` takes where there is a calibration text."""
