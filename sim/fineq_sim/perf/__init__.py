"""The cycle-level simulator: how long a job takes on the accelerator, stage by stage, without any data."""
