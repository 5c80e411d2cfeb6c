"""Building designs for a simulator, running benches and programs on them, and the regression."""
