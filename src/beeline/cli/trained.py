"""A trained model of ours where it lies, with what can be made of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from beeline.core.errors import UserError

if TYPE_CHECKING:
    from beeline.train.snapshots import History


@dataclass(frozen=True)
class Trained:
    """A trained model where it lies.

    Args:
        path: as it was named.
        weights: file of the averaged weights.
        description: contents of its model.json.
        run: the run folder, None where there is none.
        checkpoint: folder of the checkpoint of this step, where there is one.
        home: where files made of it go unless told otherwise.
    """

    path: Path
    weights: Path
    description: dict[str, Any]
    run: Path | None
    checkpoint: Path | None
    home: Path

    @staticmethod
    def find(path: Path) -> Trained:
        """What a path names.

        Raises:
            UserError: there is no readable model.
        """
        from beeline.generate.load import locate, output_folder, read_description, read_step
        from beeline.model.format import WEIGHTS, read_tensors
        from beeline.train.folder import RunFolder

        weights, description_path = locate(path)
        description, home = read_description(description_path), output_folder(path)
        read_tensors(weights)
        if home != weights.parent:
            return Trained(path, weights, description, home, weights.parent, home)
        run, step = RunFolder(home), read_step(weights)
        if not run.is_run() or weights.name != WEIGHTS or step is None:
            return Trained(path, weights, description, None, None, home)
        return Trained(path, weights, description, home, run.checkpoint(step), home)

    def default_target(self, width: float | Literal["auto"] | None, weights: str) -> Path:
        """Where a converted model goes when nobody says: RUN/slim, RUN/raw, RUN/ema-0.120 or RUN/ema-auto."""
        name = "raw" if weights == "raw" else "slim"
        if width is not None:
            name = "ema-auto" if width == "auto" else f"ema-{width:.3f}"
        of_checkpoint = self.checkpoint is not None and self.weights.parent == self.checkpoint
        return self.home / (f"{name}-{self.weights.parent.name}" if of_checkpoint else name)

    def tensors(self) -> dict[str, Any]:
        """The averaged weights, low-rank parts beside what they are added to."""
        from beeline.model.format import ADAPTER, read_parts

        adapter = self.weights.with_name(ADAPTER)
        return read_parts(adapter if adapter.is_file() else self.weights)

    def stored(self, weights: str) -> tuple[bytes, dict[str, Any]]:
        """A weights file as it is, and what to say of it.

        Raises:
            UserError: there are no raw weights.
        """
        from beeline.model.format import average_of, whole_bytes
        from beeline.train.folder import RunFolder

        if weights == "ema":
            return whole_bytes(self.weights), average_of(self.description)
        if self.run is None:
            raise UserError(f"{self.weights}: a slim model holds one set of weights; name its run for the raw ones")
        run = RunFolder(self.run)
        folder = self.weights.parent
        if folder != self.checkpoint:
            if not run.steps():
                raise UserError(f"{run.checkpoints}: no checkpoint is left to take raw weights from")
            folder = run.checkpoint(run.steps()[-1])
        return whole_bytes(folder / "weights.safetensors"), {"profile": "none"}

    def history(self) -> History:
        """What other averages can be rebuilt from.

        Raises:
            UserError: there is nothing.
        """
        from beeline.generate.load import read_step
        from beeline.train.folder import RunFolder

        step = read_step(self.weights)
        if self.run is None or step is None:
            raise UserError(f"{self.weights}: is one average and cannot be made another; name its run folder")
        return RunFolder(self.run).snapshots.history(step, self.checkpoint)
