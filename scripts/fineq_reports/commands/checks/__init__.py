"""Commands that check and show the whole: faults, coverage, benchmarks, pictures, the demo."""
