"""Ours beside diffusers' ``DiTTransformer2DModel``: the same nets, measured in turns in one process."""
