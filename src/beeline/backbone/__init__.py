"""The diffusion transformer: blocks, network, presets."""
