"""The accelerator's driver."""
