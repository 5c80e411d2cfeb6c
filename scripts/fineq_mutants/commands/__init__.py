"""Commands of the mutants."""
