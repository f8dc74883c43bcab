"""Tracks kept from times all over a run, and averages of other widths rebuilt from them at its end.

snapshots/step-000500.safetensors   every track after 500 steps, tensors named WIDTH/NAME, in half precision

Half precision moves a rebuilt average by 2e-4 of its norm and its held-out loss by at most 8e-5 (digits recipe, 400
steps, six widths, against fp32), bfloat16 by eight times as much; fp32 would take twice the room.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
from safetensors import safe_open
from torch import Tensor

from beeline.core.errors import UserError
from beeline.core.files import write_bytes
from beeline.model.format import read_metadata, read_tensors, tensors_bytes
from beeline.nn.low_rank import merged
from beeline.train.ema import track_name
from beeline.train.profiles import LARGEST_ERROR, NARROWEST, TRACK_WIDTHS, WIDEST, Combination, combine

TRACKS = "tracks.safetensors"
_SNAPSHOT = re.compile(r"step-(\d+)\.safetensors")
_LISTED = "snapshots"


class Snapshots:
    """The snapshots of one run.

    Args:
        path: their folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def file(self, step: int) -> Path:
        """The snapshot of a step."""
        return self.path / f"step-{step:06}.safetensors"

    def steps(self) -> list[int]:
        """Steps that have a snapshot, ascending."""
        if not self.path.is_dir():
            return []
        found = (_SNAPSHOT.fullmatch(path.name) for path in self.path.iterdir())
        return sorted(int(match[1]) for match in found if match)

    def save(self, step: int, tensors: Mapping[str, Tensor]) -> None:
        """Keep the tracks after a step, with a list of the snapshots until then, lest one be lost unnoticed."""
        listed = [*(each for each in self.steps() if each < step), step]
        halves = {name: _half(tensor) for name, tensor in tensors.items()}
        write_bytes(self.file(step), tensors_bytes(halves, {_LISTED: ",".join(map(str, listed))}))

    def drop_beyond(self, step: int) -> None:
        """Delete snapshots later than a step: a run that goes on from it may go on otherwise."""
        for each in self.steps():
            if each > step:
                self.file(each).unlink()

    def history(self, step: int, checkpoint: Path | None = None) -> History:
        """What is kept of the tracks until a step.

        Args:
            step: the step at which averages will be asked for.
            checkpoint: folder of a checkpoint of this very step, whose tracks are in full precision.

        Raises:
            UserError: nothing is kept, or a file is damaged.
        """
        files = {each: self.file(each) for each in self.steps() if each <= step}
        if checkpoint is not None and (checkpoint / TRACKS).is_file():
            files[step] = checkpoint / TRACKS
        if not files:
            raise UserError(
                f"{self.path}: no snapshot until step {step}, so that no average of another width can be rebuilt; "
                "train with --train.ema_snapshots 16"
            )
        listed: set[int] = set()
        for path in files.values():
            listed |= {int(each) for each in _checked(path).get(_LISTED, "").split(",") if each}
        missing = tuple(sorted(each for each in listed - files.keys() if each <= step))
        return History(files, step, missing)


@dataclass(frozen=True)
class History:
    """The tracks of a run at some of its steps.

    Args:
        files: that hold them, by step.
        step: at which averages are asked for.
        missing: steps whose snapshots were kept and are gone.
    """

    files: Mapping[int, Path]
    step: int
    missing: tuple[int, ...] = ()

    def errors(self, widths: Sequence[float]) -> list[float]:
        """Relative L2 error of the profile with which each width would be rebuilt."""
        return [float(error) for error in self._combine(widths).errors]

    def check(self, width: float) -> float:
        """The profile's error of a width that can be rebuilt.

        Raises:
            UserError: it cannot.
        """
        if not NARROWEST <= width <= WIDEST:
            raise UserError(f"width {width:g}: must lie from {NARROWEST:g} to {WIDEST:g}")
        error = self.errors([width])[0]
        if error > LARGEST_ERROR:
            lost = f"; the snapshots of steps {', '.join(map(str, self.missing))} are gone" if self.missing else ""
            raise UserError(
                f"width {width:g}: would be {100 * error:.1f} % off its profile at step {self.step}, more than "
                f"{100 * LARGEST_ERROR:g} %; the snapshots at hand allow {self.possible()}{lost}"
            )
        return error

    def possible(self) -> str:
        """The widths that can be rebuilt, in words."""
        widths = [round(width, 3) for width in np.arange(NARROWEST, WIDEST + 5e-4, 1e-3).tolist()]
        stretches: list[list[float]] = [[]]
        for width, error in zip(widths, self.errors(widths), strict=True):
            if error <= LARGEST_ERROR:
                stretches[-1].append(width)
            elif stretches[-1]:
                stretches.append([])
        words = [f"{each[0]:g}" + (f" to {each[-1]:g}" if each[1:] else "") for each in stretches if each]
        return ", ".join(words) or "none"

    def average(self, width: float, base: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rebuild the average of a width.

        Args:
            width: relative width.
            base: the model's tensors, of which those without a track stay as they are; low-rank parts, if it has
                any, beside what they are added to. They are merged in what is returned.

        Raises:
            UserError: the width cannot be rebuilt, or a file does not fit the model.
        """
        self.check(width)
        shares = self._combine([width]).coefficients[:, 0].tolist()
        with ExitStack() as stack:
            opened = [(path, stack.enter_context(safe_open(path, framework="pt"))) for path in self.files.values()]
            places = [(path, file, track) for path, file in opened for track in TRACK_WIDTHS]
            keys = set[str]().union(*(file.keys() for _, file in opened))
            tracked = {key.partition("/")[2] for key in keys}
            _check_names(tracked, base, self.files[max(self.files)])
            rebuilt = dict(base)
            for name in tracked:
                total = torch.zeros(base[name].shape, dtype=torch.float64)
                for share, (path, file, track) in zip(shares, places, strict=True):
                    total += share * _tensor(path, file, track_name(track, name), total).double()
                rebuilt[name] = total.to(base[name].dtype)
        return merged(rebuilt)

    def _combine(self, widths: Sequence[float]) -> Combination:
        return combine(widths, self.step, [(track, step) for step in self.files for track in TRACK_WIDTHS])


def _half(tensor: Tensor) -> Tensor:
    """In half precision, save where a number is too large for it."""
    half = tensor.detach().to(torch.float16)
    return half if bool(half.isfinite().all()) else tensor


def _checked(path: Path) -> dict[str, str]:
    """What is kept beside the tensors of a file that is as it was written."""
    try:
        read_tensors(path)
        return read_metadata(path)
    except UserError as error:
        raise UserError(f"{error}; delete it to rebuild from the others") from None


def _check_names(tracked: set[str], base: Mapping[str, Tensor], path: Path) -> None:
    for name in sorted(tracked - base.keys()):
        raise UserError(f"{path}: tensor {name} is not of this model")


def _tensor(path: Path, file: Any, name: str, like: Tensor) -> Tensor:
    try:
        tensor: Tensor = file.get_tensor(name)
    except safetensors.SafetensorError:
        raise UserError(f"{path}: tensor {name} is missing; delete the file to rebuild from the others") from None
    if tensor.shape != like.shape:
        raise UserError(f"{path}: tensor {name} is {tuple(tensor.shape)}, this model has {tuple(like.shape)}")
    return tensor
