"""Paths between data and noise, predictions, time densities and sources. Mathematics only."""
