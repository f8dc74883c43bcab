"""A tiny random AutoencoderKL, saved as diffusers saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def make_autoencoder(seed: int = 0, **options: Any) -> Any:
    """An autoencoder of diffusers': 3 channels, one latent cell for 4 pixels, a posterior that is not narrow."""
    from diffusers import AutoencoderKL

    config = {
        "block_out_channels": (8, 8, 8),
        "down_block_types": ("DownEncoderBlock2D",) * 3,
        "up_block_types": ("UpDecoderBlock2D",) * 3,
        "norm_num_groups": 4,
        "latent_channels": 4,
        "sample_size": 16,
        "scaling_factor": 0.25,
        **options,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AutoencoderKL(**config).eval()


def save_autoencoder(folder: Path, safe: bool = True, seed: int = 0, **options: Any) -> Path:
    """Its folder, with weights as safetensors or as a .bin."""
    make_autoencoder(seed, **options).save_pretrained(folder, safe_serialization=safe)
    return folder
