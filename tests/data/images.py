"""Small image files for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Array = np.ndarray[Any, Any]


def pixels(height: int = 8, width: int = 8, channels: int = 3, seed: int = 0) -> Array:
    """Random uint8 pixels (height, width, channels)."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def save(path: Path, array: Array | None = None, **options: Any) -> Path:
    """Write an image file, its folder too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = pixels() if array is None else array
    Image.fromarray(array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array).save(path, **options)
    return path


def folder_of(path: Path, counts: dict[str, int], size: tuple[int, int] = (8, 8), channels: int = 3) -> Path:
    """A folder of random PNG files: how many in each sub-folder; '' is the folder itself."""
    for seed, (name, count) in enumerate(counts.items()):
        for index in range(count):
            save(path / name / f"{index:04}.png", pixels(*size, channels, seed=1000 * seed + index))
    return path
