"""Small trainers and runs."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from beeline.cli.main import run
from beeline.cli.recipes import find_recipe
from beeline.cli.resolve import Resolved, resolve
from beeline.train.machine import settle
from beeline.train.setup import prepare
from beeline.train.trainer import Trainer
from tests.conftest import FAST


def flags(options: dict[str, Any]) -> list[str]:
    return [f"--{name}={value}" for name, value in options.items() if value is not None]


def make_trainer(recipe: str = "digits", **options: Any) -> Trainer:
    """A fresh trainer; option names with double underscores for dots."""
    given = {name.replace("__", "."): value for name, value in options.items()}
    resolved = _resolved(recipe, *flags({**FAST, "train.steps": 20, **given}))
    settings, _ = settle(resolved.config.train)
    return prepare(dataclasses.replace(resolved.config, train=settings), resolved.source).trainer


@cache
def _resolved(recipe: str, *words: str) -> Resolved:
    """Many tests ask for the same, and reading options takes as long as making a small network."""
    return resolve(find_recipe(recipe), words)


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "beeline", *words]


def train_command(out: Path, *more: str, recipe: str = "digits", **options: Any) -> list[str]:
    given = {name.replace("__", "."): value for name, value in options.items()}
    return command("train", recipe, "--out", str(out), *flags({**FAST, **given}), *more)


def finish(words: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command in this process, which spares it the time to load torch."""
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        code = run(words[3:])
    return subprocess.CompletedProcess(words, code, output.getvalue(), errors.getvalue())


def fingerprint(folder: Path) -> dict[str, Any]:
    """All that must be the same of two equal runs: weights, averages, optimiser, data order, log."""
    last = sorted((folder / "checkpoints").iterdir())[-1]
    files = [folder / "model.safetensors", *sorted(last.iterdir())]
    hashes = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    for line in log:
        del line["samples_per_second"], line["data_wait"]
    return {**hashes, "checkpoint": last.name, "log": log}
