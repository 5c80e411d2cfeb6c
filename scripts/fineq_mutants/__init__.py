"""Faults that nobody chose, by rule from the netlists, against benches and proofs (docs/flows/verification.md)."""
