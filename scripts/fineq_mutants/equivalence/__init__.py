"""Proofs that a mutant is its circuit."""
