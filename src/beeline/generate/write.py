"""Writing samples: pictures for people, arrays for programs, provenance for both."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from beeline.core.data import Examples
from beeline.core.errors import UserError
from beeline.core.files import write_bytes, write_json
from beeline.core.protocols import Modality
from beeline.generate.engine import Samples


def picture_bytes(modality: Modality, examples: Examples) -> bytes:
    """A modality's picture of some samples, as PNG."""
    buffer = io.BytesIO()
    modality.preview(examples).save(buffer, format="PNG")
    return buffer.getvalue()


def array_bytes(examples: Examples) -> bytes:
    """Native arrays as npz: one array ``samples`` where all have the same shape, else ``sample_00000`` and so on."""
    arrays = [example.array for example in examples]
    buffer = io.BytesIO()
    if len({array.shape for array in arrays}) == 1:
        np.savez(buffer, samples=np.stack(arrays))
    else:
        np.savez(buffer, **{f"sample_{index:05}": array for index, array in enumerate(arrays)})  # type: ignore[arg-type]
    return buffer.getvalue()


def write_samples(modality: Modality, samples: Samples, out: Path) -> list[Path]:
    """Write samples where the user wants them.

    Args:
        modality: draws the picture.
        samples: what was generated.
        out: a .png for a picture, an .npz for arrays, else a folder for both; provenance lies beside as JSON.

    Returns:
        the files written.

    Raises:
        UserError: the place has an ending that is none of these, or cannot be written to.
    """
    writers = {".png": lambda: picture_bytes(modality, samples.examples), ".npz": lambda: array_bytes(samples.examples)}
    if out.suffix in writers:
        targets = {out: writers[out.suffix], out.with_suffix(".json"): None}
    elif out.suffix and not out.is_dir():
        raise UserError(f"{out}: samples are written as .png, .npz or into a folder")
    else:
        targets = {
            out / "samples.png": writers[".png"],
            out / "samples.npz": writers[".npz"],
            out / "samples.json": None,
        }
    for path, make in targets.items():
        try:
            if make is None:
                write_json(path, samples.provenance)
            else:
                write_bytes(path, make())
        except OSError as error:
            raise UserError(f"{path}: cannot be written ({error.strerror})") from None
    return list(targets)
