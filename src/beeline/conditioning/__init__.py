"""Conditions: what a sample is asked to be, how it is embedded, and the null that stands for "unknown"."""
