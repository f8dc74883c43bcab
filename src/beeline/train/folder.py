"""The run folder: what lies where, and how it survives a kill at any moment.

config.yaml                     complete, resolved
init/                           the model before its first step, of a run that began from another or freezes some
checkpoints/step-000500/        everything else that resuming needs; the last few are kept
snapshots/step-000500.safetensors   averages of two more widths, kept from times all over the run
model.safetensors, model.json   averaged weights and their description: all that sampling needs
adapter.safetensors             averages of low-rank parts and of what else trains beside them
best/                           the same two files as they were when the held-out loss was lowest
log.jsonl                       one line every few steps
.lock                           empty; held by the process that trains
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from beeline.core.config import flatten, plain
from beeline.core.errors import UserError
from beeline.core.files import (
    append_bytes,
    check_writable,
    folder_in_the_making,
    is_leftover,
    make_folder,
    read_json,
    remove_folder,
    remove_leftovers,
    sha256,
    sync_file,
    write_bytes,
    write_json,
)
from beeline.core.yaml_text import read_yaml, write_yaml
from beeline.model.format import (
    ADAPTER,
    DESCRIPTION,
    INITIAL,
    LOCK,
    PARTIAL,
    WEIGHTS,
    read_tensors,
    tensors_bytes,
)
from beeline.train.config import CHANGEABLE
from beeline.train.initial import Initial
from beeline.train.snapshots import TRACKS, Snapshots

_CHECKPOINT = re.compile(r"step-(\d+)")
_LOGGED = ("step", "samples", "samples_per_second")


class RunFolder:
    """Paths and durable writes of one run.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.checkpoints = path / "checkpoints"
        self.snapshots = Snapshots(path / "snapshots")
        self.weights = path / WEIGHTS
        self.description = path / DESCRIPTION
        self.adapter = path / ADAPTER
        self.initial = Initial(path)
        self.best = path / "best"
        self.log = path / "log.jsonl"
        self.board = path / "tensorboard"
        self.samples = path / "samples"
        self.scores = path / "scores.json"
        self.report = path / "report.html"
        self.locked = path / LOCK

    def is_run(self) -> bool:
        """Whether a run has begun here."""
        return self.config.is_file()

    def create(self, config: Mapping[str, Any]) -> None:
        """Begin a run, which is one as soon as its config lies there.

        Raises:
            UserError: something else lies there.
        """
        self.check_place()
        if self.is_run():
            raise UserError(f"{self.path}: holds a run already; go on with --resume, or choose another --out")
        self.write_config(config)

    def check_place(self) -> None:
        """Refuse a place where no run can begin, before any long work.

        Raises:
            UserError: something else lies there, or nothing can be written there.
        """
        if self.is_run():
            check_writable(self.path)
            return
        if self.path.exists() and (not self.path.is_dir() or any(map(self._is_strange, self.path.iterdir()))):
            raise UserError(f"{self.path}: exists and is no run; choose another --out")
        check_writable(self.path)

    def _is_strange(self, path: Path) -> bool:
        """Whether something is not what beginning a run may have left behind."""
        return path not in (self.locked, self.initial.folder, self.initial.table) and not is_leftover(path)

    def check_duration(self, steps: int) -> None:
        """Refuse a run shorter than what is trained already.

        Raises:
            UserError: it is.
        """
        done = self.steps()[-1:]
        if done and steps < done[0]:
            raise UserError(f"{self.path}: has trained for {done[0]} steps already and cannot end at {steps}")

    def check_data(self, description: Mapping[str, Any]) -> None:
        """Refuse other examples than those that training began with: the order would be another, or the classes.

        Args:
            description: of the model, as it would be written now.

        Raises:
            UserError: naming both numbers, where there are more or fewer.
        """
        if not self.steps() or not self.description.is_file():
            return
        now = description["training"]
        before = {**now, **read_json(self.description).get("training", {})}
        if now == before:
            return
        what = "names other examples, or other contents or other classes of them, than when the run began"
        if now["examples"] != before["examples"]:
            what = f"has {now['examples']:,} examples, and had {before['examples']:,} when the run began"
        raise UserError(f"{self.path}: the training split {what}; bring the data back as they were, or begin anew")

    def check_config(self) -> None:
        """Refuse a config.yaml that was edited after training began.

        Raises:
            UserError: naming the first option that is not what the run was trained with.
        """
        if not self.steps() or not self.description.is_file():
            return
        description = read_json(self.description)
        trained = description.get("config") if isinstance(description, dict) else None
        if not isinstance(trained, dict):
            raise UserError(f"{self.description}: damaged: it holds no 'config'")
        before, now = (
            flatten(trained),
            flatten({name: each for name, each in self.read_config().items() if name in trained}),
        )
        for name in sorted((before.keys() | now.keys()) - {"modality", *CHANGEABLE}):
            if (found := now.get(name, "missing")) != before.get(name, "missing"):
                trained_with = before.get(name, "no such option")
                raise UserError(f"{self.config}: {name} is {found}, but the run was trained with {trained_with}")

    def is_finished(self) -> bool:
        """Whether there is a report, and it is about the very weights that lie here."""
        if not (self.weights.is_file() and self.report.is_file()):
            return False
        return sha256(self.weights) in self.report.read_text(encoding="utf-8", errors="replace")

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Replace the stored config."""
        write_bytes(self.config, write_yaml(config).encode())

    def read_config(self) -> dict[str, Any]:
        """The stored config."""
        return read_yaml(self.config)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from training here; the system lets go when this one ends, however it ends.

        The folder is made where it is not there yet.

        Raises:
            UserError: it cannot be made, another process is training here, or the file system knows no locks.
        """
        try:
            make_folder(self.path)
            handle = os.open(self.locked, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written ({error.strerror}); choose another --out") from None
        try:
            try:  # such a lock works on NFS, and is not kept by processes forked to read data
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):
                raise UserError(f"{self.path}: another process is training this run") from None
            except OSError as error:
                raise UserError(f"{self.locked}: cannot be locked ({error.strerror}); choose another --out") from None
            remove_leftovers(self.path)
            yield
        finally:
            os.close(handle)

    def steps(self) -> list[int]:
        """Steps that have a checkpoint, ascending."""
        if not self.checkpoints.is_dir():
            return []
        found = (_CHECKPOINT.fullmatch(folder.name) for folder in self.checkpoints.iterdir())
        return sorted(int(match[1]) for match in found if match)

    def checkpoint(self, step: int) -> Path:
        """Folder of the checkpoint at a step."""
        return self.checkpoints / f"step-{step:06}"

    def save_checkpoint(
        self, step: int, tensors: Mapping[str, Mapping[str, Tensor]], keep: int, partial: bool = False
    ) -> None:
        """Write a checkpoint, complete or not at all, then drop all but the last few.

        Each holds the model's description too, so that it can be opened wherever it is copied, unless it is partial.

        Args:
            step: steps done.
            tensors: groups of tensors, one file each.
            keep: how many checkpoints stay.
            partial: whether they are only what trains, to which ``init`` holds the rest.
        """
        metadata = {"step": str(step), **({PARTIAL: INITIAL} if partial else {})}
        with folder_in_the_making(self.checkpoint(step)) as folder:
            for name, group in tensors.items():
                write_bytes(folder / f"{name}.safetensors", tensors_bytes(group, metadata))
            write_bytes(folder / DESCRIPTION, self.description.read_bytes())
        self.drop_checkpoints(keep)

    def drop_checkpoints(self, keep: int) -> None:
        """Drop all checkpoints but the last few."""
        for old in self.steps()[:-keep]:
            remove_folder(self.checkpoint(old))

    def load_checkpoint(self, step: int, names: list[str]) -> dict[str, dict[str, Tensor]]:
        """Tensors of a checkpoint.

        Raises:
            UserError: a file is missing or damaged.
        """
        folder, earlier = self.checkpoint(step), [each for each in self.steps() if each < step]
        try:
            return {name: read_tensors(folder / f"{name}.safetensors") for name in names}
        except UserError as error:
            before = f"from step {earlier[-1]}" if earlier else "from the beginning"
            raise UserError(f"{error}; delete {folder} to go on {before}") from None

    def has_tracks(self, step: int) -> bool:
        """Whether the checkpoint at a step holds the averages that snapshots are made of."""
        return (self.checkpoint(step) / TRACKS).is_file()

    def save_model(self, tensors: Mapping[str, Tensor], step: int) -> None:
        """Replace the model's weights."""
        write_bytes(self.weights, tensors_bytes(tensors, {"step": str(step)}))

    def save_adapter(self, tensors: Mapping[str, Tensor], step: int) -> None:
        """Replace the low-rank parts."""
        write_bytes(self.adapter, tensors_bytes(tensors, {"step": str(step), PARTIAL: INITIAL}))

    def save_best(self, tensors: Mapping[str, Tensor], step: int) -> None:
        """Replace the model of lowest held-out loss; the earlier one stays until this is whole."""
        write_bytes(self.best / DESCRIPTION, self.description.read_bytes())
        write_bytes(self.best / WEIGHTS, tensors_bytes(tensors, {"step": str(step)}))

    def describe(self, description: Mapping[str, Any]) -> None:
        """Write the model's description, where it is not there already."""
        if not self.description.is_file() or read_json(self.description) != plain(description):
            write_json(self.description, description)

    def append_log(self, record: Mapping[str, Any]) -> None:
        """Add a line to the log."""
        append_bytes(self.log, f"{json.dumps(record)}\n".encode())

    def sync_log(self) -> None:
        """Make the log as durable as the checkpoint that is about to be written."""
        if self.log.exists():
            sync_file(self.log)

    def truncate_log(self, step: int) -> None:
        """Drop lines beyond a step, and a last line that was cut short: resuming writes them again.

        Raises:
            UserError: another line is damaged.
        """
        kept = "".join(json.dumps(line) + "\n" for line in self._log_lines() if line["step"] <= step)
        if self.log.exists() and self.log.read_bytes() != kept.encode():
            write_bytes(self.log, kept.encode())

    def read_log(self) -> list[dict[str, Any]]:
        """The lines of the log."""
        return list(self._log_lines())

    def _log_lines(self) -> Iterator[dict[str, Any]]:
        if not self.log.exists():
            return
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                record = None
            if isinstance(record, dict) and all(isinstance(record.get(key), (int, float)) for key in _LOGGED):
                yield record
            elif number < len(lines):  # a kill cuts the last line short, and no other
                raise UserError(f"{self.log}: line {number} is damaged; mend or delete it")
