"""Proofs that mapped netlists equal their RTL."""
