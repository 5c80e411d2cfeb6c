"""The sub-command of `fineq` that proves."""
