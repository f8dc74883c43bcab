"""Tokens, the seams, randomness, configuration and errors: what every other room stands on."""
