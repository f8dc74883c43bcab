"""Indexing a folder of many small files: first scan of the directories, first look at headers, and every later time.

The files are copies of a hundred images of noise: 0.8 GB on disk for 200,000 of them, which takes longer to write and
to delete than to index. The system has their bytes at hand when they are looked at.

python -m benchmarks.index [--files 200000] [--classes 100] [--json FILE]
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from beeline.data.image_index import index_folder, list_images
from beeline.modalities.images import Images
from benchmarks.result import show

_ORIGINALS = 100


def make_tree(folder: Path, files: int, classes: int) -> None:
    """That many PNG files of 32x32 colour pixels in class folders."""
    random = np.random.default_rng(0)
    originals = []
    for _ in range(_ORIGINALS):
        buffer = io.BytesIO()
        Image.fromarray(random.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(buffer, "PNG")
        originals.append(buffer.getvalue())
    for one in range(classes):
        (folder / f"class-{one:03}").mkdir(parents=True)
    for number in range(files):
        path = folder / f"class-{number % classes:03}" / f"{number:07}.png"
        path.write_bytes(originals[number % _ORIGINALS])


def seconds(function: Callable[[], Any]) -> float:
    """Wall-clock time of a call."""
    begin = time.perf_counter()
    function()
    return round(time.perf_counter() - begin, 2)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=200_000)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        os.environ["XDG_CACHE_HOME"] = str(Path(place) / "cache")
        folder = Path(place) / "images"
        make_tree(folder, arguments.files, arguments.classes)
        result = {
            "files": arguments.files,
            "scan of the directories, s": seconds(lambda: list_images(folder)),
            "first index, headers looked at, s": seconds(lambda: index_folder(folder)),
            "index again, headers remembered, s": seconds(lambda: index_folder(folder)),
            "settled and split, headers remembered, s": seconds(lambda: Images(path=str(folder)).settle(64)),
        }
    show(result, arguments.json)


if __name__ == "__main__":
    main()
