"""Solvers, grids, guidance and the exact mixture predictor."""
