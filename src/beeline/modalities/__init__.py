"""Kinds of data, one file each. A file that ends with ``MODALITY = ...`` is all it takes, here or anywhere on disk."""
