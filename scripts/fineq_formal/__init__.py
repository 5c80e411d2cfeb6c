"""Formal proofs of the RTL: properties in Amaranth, proven by ABC and by SMT solvers (docs/flows/verification.md)."""
