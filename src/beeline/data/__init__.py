"""Splits, normalisers, and the order in which a run visits its examples."""
