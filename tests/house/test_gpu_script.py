"""The script for GPUs, rehearsed on a CPU: it needs torch, numpy and safetensors alone, and its checks can fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.gpu import __main__ as script
from benchmarks.gpu import checks, speed
from benchmarks.gpu.lines import Line, table
from benchmarks.gpu.machine import attention_kernel
from benchmarks.gpu.plan import SMALL, SMALL_EFFORT, Budget, Task, carried_out
from benchmarks.gpu.speed import PLAIN, Shop
from benchmarks.gpu.subject import Subject
from benchmarks.peers.timing import Times

from beeline.backbone import dit
from beeline.core.errors import UserError
from beeline.core.random import Key
from beeline.evaluate.benchmark_page import read_benchmark
from beeline.model.network import Network
from beeline.train.trainer import Trainer

REHEARSAL = ["--device", "cpu", "--small"]
BARE = """
import sys

NEEDED = "torch torchgen functorch triton numpy safetensors beeline benchmarks"
OF_TORCH = "filelock fsspec jinja2 markupsafe mpmath networkx setuptools sympy typing_extensions"
OF_SETUPTOOLS = "distutils jaraco more_itertools packaging platformdirs wheel backports"
KNOWN = {*NEEDED.split(), *OF_TORCH.split(), *OF_SETUPTOOLS.split(), *sys.stdlib_module_names}

class Bare:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        known = name.startswith("_") or name.partition(".")[0] in KNOWN
        return self.finder.find_spec(name, path, target) if known else None

sys.meta_path[:] = [Bare(finder) for finder in sys.meta_path]
"""
PLAIN_BLOCKS = """
from beeline.model import compiling
compiling._compiled = lambda: compiling.run_block
"""
RUN = """
from benchmarks.gpu.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("blocks", [PLAIN_BLOCKS, pytest.param("", marks=pytest.mark.slow)], ids=["plain", "compiled"])
def test_it_runs_where_nothing_else_is_installed(blocks: str, tmp_path: Path) -> None:
    """Compiled in earnest where there is time for it."""
    words = [sys.executable, "-c", BARE + blocks + RUN, *REHEARSAL, "--json", str(tmp_path / "found.json")]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    told = done.stdout
    assert told.count("\nok ") == 13
    assert "FAILED" not in told
    assert told.index("\nok ") < told.index("| net |")
    assert "left out: tiny sampling, diffusers eager: diffusers: not installed" in told
    assert "a training step waits for the GPU: not measured: no GPU" in told
    assert "GiB" not in told
    found = read_benchmark(tmp_path / "found.json")
    assert [row["who"] for row in found["rows"]][:2] == ["bf16 compiled", "bf16"]
    assert all(0 < row["low"] <= row["value"] <= row["high"] for row in found["rows"])
    assert json.dumps(found["facts"]).count("not installed") == 2


def other_draws(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Key, "uniform", lambda key, elements=1: torch.rand(len(key.numbers), elements))


def other_weights(patch: pytest.MonkeyPatch) -> None:
    made: list[Subject] = []

    def make(*given: Any, **more: Any) -> Subject:
        made.append(Subject(*given, **more))
        with torch.no_grad():
            made[-1].network.dit.embed.weight.mul_(1.0 + 0.01 * (len(made) - 1))
        return made[-1]

    patch.setattr(checks, "Subject", make)


def other_blocks(patch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def compiled(network: Network, wanted: bool = True) -> Iterator[None]:
        plain = network.dit.run_block
        if wanted:
            network.dit.run_block = lambda *given: plain(*given).bfloat16().float()
        yield
        network.dit.run_block = plain

    patch.setattr(checks, "compiled", compiled)


def forgotten_averages(patch: pytest.MonkeyPatch) -> None:
    original = Trainer.restore

    def restore(trainer: Trainer, step: int, tensors: dict[str, dict[str, torch.Tensor]]) -> None:
        original(trainer, step, {**tensors, "ema": trainer.tensors()["ema"]})

    patch.setattr(Trainer, "restore", restore)


def all_in_sight(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(dit, "grouped", lambda segment: None)
    patch.setattr(dit, "packed_sight", lambda *given: None)


def unseen_explosion(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Trainer, "check_finite", lambda trainer: None)


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("draws", other_draws),
        ("agreement", other_weights),
        ("compilation", other_blocks),
        ("recording", other_weights),
        ("packing", all_in_sight),
        ("resumption", forgotten_averages),
        ("explosion", unseen_explosion),
    ],
)
def test_a_check_that_fails_leaves_no_table(
    name: str,
    broken: Callable[[pytest.MonkeyPatch], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert name in checks.CHECKS
    assert len(checks.CHECKS) == 7
    monkeypatch.setattr(checks, "CHECKS", {name: checks.CHECKS[name]})
    broken(monkeypatch)
    assert script.main(REHEARSAL) == 1
    said = capsys.readouterr()
    assert "\nFAILED " in said.out
    assert "a check failed" in said.err
    assert "|" not in said.out


def test_what_there_is_no_time_for_or_cannot_be_made_is_named() -> None:
    def refuse() -> Line:
        raise UserError("diffusers: not installed")

    def fail() -> Line:
        raise ValueError("two\nlines")

    line = Line("net", "step", "bf16", 4, Times(1.0, [0.5, 0.25, 1.0]), flops=5e12, peak=40e12, memory=2**31)
    tasks = [Task("a", 1, lambda: line), Task("b", 1, refuse), Task("c", 1, fail), Task("long", 1e6, lambda: line)]
    outcome = carried_out(tasks, Budget(60), lambda told: None)
    assert outcome.lines == [line]
    assert outcome.left_out == {"b": "diffusers: not installed", "long": "60 s were left, it may need 1000000"}
    assert outcome.failed == {"c": "ValueError: two"}
    assert "| net | step | bf16 | 4 | 500 | 250 to 1,000 | 8.00 | 10.0 | 25% | 2.0 | 1.0 |" in table([line])
    time, memory = line.rows()
    assert (time.value, time.low, time.high, time.utilisation) == (500, 250, 1000, 0.25)
    assert (memory.value, memory.unit) == (2.0, "GiB")


def test_a_batch_that_does_not_fit_is_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    original = speed.timed

    def timed(call: Any, effort: speed.Effort) -> Any:
        if call.__self__.batch_size > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(call, effort)

    monkeypatch.setattr(speed, "timed", timed)
    line = Shop(SMALL_EFFORT).training(SMALL, PLAIN)
    assert (line.batch, line.note) == (1, "batch 2 does not fit")


def test_a_device_that_is_not_here_or_is_too_slow_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="device cuda: torch finds no GPU here"):
        script.main(["--device", "cuda"])
    with pytest.raises(UserError, match="--small rehearses"):
        script.main([])
    code = "import runpy; runpy.run_module('benchmarks.gpu', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=_without_a_gpu())
    assert done.returncode == 2
    assert done.stderr.startswith("error: device cpu: ")
    assert done.stderr.count("\n") == 1


def _without_a_gpu() -> dict[str, str]:
    return {**os.environ, "CUDA_VISIBLE_DEVICES": ""}


def test_the_kernel_of_attention_is_the_one_that_is_called() -> None:
    assert attention_kernel("cpu", SMALL) == "flash_attention_for_cpu"
