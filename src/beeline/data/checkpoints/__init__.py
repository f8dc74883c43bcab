"""Checkpoints of other libraries: reading them without trusting them, and writing what those libraries read."""
