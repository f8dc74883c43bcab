"""The memory plan: it is what training takes, and where it does not suffice, what is said is true."""

from __future__ import annotations

import gc
import re
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from beeline.cli.train import train
from beeline.core.errors import RunError, UserError
from beeline.core.memory import available_memory, held_bytes
from beeline.core.random import Key
from beeline.objectives.flow import Flow
from beeline.train import memory
from beeline.train.memory import MemoryPlan, is_out_of_memory, plan_memory, refuse_shortage
from tests.conftest import FAST
from tests.train.helpers import command, finish, flags, make_trainer

MOST = 1 << 50  # bytes that no machine has


def with_memory(monkeypatch: pytest.MonkeyPatch, count: int | None) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda device: count)


@pytest.mark.parametrize("recipe", ["digits", "waves", "panels", "gaussian_fields"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_activations_are_what_a_batch_of_any_size_keeps(recipe: str, precision: str) -> None:
    trainer = make_trainer(recipe, train__precision=precision)
    plan = plan_memory(trainer)
    assert plan.every["activations"] == pytest.approx(memory._activations(trainer, 16), rel=0.02)
    assert plan.each > 0


def test_every_byte_of_weights_gradients_moments_and_averages_is_counted() -> None:
    trainer = make_trainer(train__batch_size=2)
    parts = plan_memory(trainer).parts
    trainer.train_step()
    groups = trainer.tensors()
    assert parts["weights"] == sum(tensor.nbytes for tensor in groups["weights"].values())
    assert parts["optimiser"] == sum(tensor.nbytes for tensor in groups["optimiser"].values())
    assert parts["averages"] >= sum(tensor.nbytes for tensor in groups["ema"].values())
    batch, key = trainer.feed.batch(0, 2), Key.range(0, 0, 2)
    trainer.loss(batch, key).sum().backward()
    gradients = [parameter.grad for parameter in trainer.network.parameters() if parameter.grad is not None]
    assert parts["gradients"] == sum(tensor.nbytes for tensor in gradients)
    assert parts["data"] >= 1437 * 64 * 4


def test_gradients_take_the_place_of_activations_or_stand_beside_them() -> None:
    held = {"weights": 100, "gradients": 60, "optimiser": 200}
    plan = MemoryPlan(held, fixed=10, each=5.0, batch=4, accumulation=1)
    few = memory._WORKING_BYTES
    assert plan.every == {**held, "gradients": 60, "activations": 30, "working space": few}
    assert plan.need == 390 + few
    many = replace(plan, batch=20)
    beside = int(0.66 * 60**2 / 110)
    assert many.need == 300 + 110 + beside + few
    assert replace(plan, batch=2000).need == 300 + 10_010 + few, "all of them have found a place"
    for apart in (replace(many, batch=40, accumulation=2), replace(many, recomputes=True)):
        assert apart.need == 300 + 110 + 60 + few
    there = replace(plan, available=many.need, batch=64)
    assert (there.most_at_a_time(False), there.most_at_a_time(True)) == (20, (110 + beside - 60 - 10) // 5)
    assert replace(there, available=plan.need).most_at_a_time(False) == 4
    assert replace(there, available=300 + 59 + few).most_at_a_time(False) == 0
    assert replace(there, available=MOST).most_at_a_time(False) == 32, "what the plan thought would fit and did not"


def test_no_more_samples_are_tried_than_are_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def counted(trainer: object, samples: int) -> int:
        seen.append(samples)
        return 1000 + 10 * samples

    monkeypatch.setattr(memory, "_activations", counted)
    trainer = make_trainer(train__batch_size=8)
    seen.clear()
    for size, tried in ((1, [1]), (2, [1, 2]), (3, [1, 2]), (8, [2, 4])):
        fixed, each = memory._line(trainer, size)
        assert seen == tried
        assert fixed + each * size == pytest.approx(1000 + 10 * size)
        seen.clear()


def test_planning_leaves_the_trainer_as_it_was() -> None:
    planned, untouched = make_trainer(), make_trainer()
    plan_memory(planned)
    for trainer in (planned, untouched):
        trainer.train_step()
    for name, tensor in planned.network.state_dict().items():
        assert torch.equal(tensor, untouched.network.state_dict()[name]), name


def test_recomputed_activations_are_planned_smaller() -> None:
    kept, recomputed = (
        plan_memory(make_trainer(model__depth=8, train__activation_checkpointing=str(on).lower()))
        for on in (False, True)
    )
    assert recomputed.every["activations"] < 0.6 * kept.every["activations"]


def test_what_is_advised_fits_and_twice_as_much_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[str, Any] = {"train__activation_checkpointing": False}
    trainer = make_trainer(train__batch_size=1024, **kept)
    with_memory(monkeypatch, 60_000_000)
    with pytest.raises(UserError, match=r"the largest part is activations of 1024 samples, \d+ MB") as caught:
        refuse_shortage(plan_memory(trainer))
    with pytest.raises(UserError, match=re.escape(str(caught.value))):
        make_trainer(train__batch_size=1024, **kept)
    found = re.search(r"--train.batch_size (\d+) fits; so does --train.accumulation (\d+)", str(caught.value))
    assert found is not None
    batch, parts = int(found[1]), int(found[2])
    make_trainer(train__batch_size=batch, **kept)
    make_trainer(train__batch_size=1024, train__accumulation=parts, **kept)
    with pytest.raises(UserError, match="training needs"):
        make_trainer(train__batch_size=2 * batch, **kept)
    with_memory(monkeypatch, 1000)
    with pytest.raises(UserError, match="not even one sample at a time fits"):
        make_trainer(train__batch_size=1)
    with_memory(monkeypatch, None)
    refuse_shortage(plan_memory(trainer))


def test_activations_are_computed_again_only_where_they_do_not_fit() -> None:
    deep: dict[str, Any] = {"model__depth": 8, "train__batch_size": 64}
    need = plan_memory(make_trainer(**deep)).need
    gigabytes = need / 2**30
    assert not make_trainer(**deep).network.backbone.recompute
    assert not make_trainer(**deep, train__memory=1.01 * gigabytes).network.backbone.recompute
    tight = make_trainer(**deep, train__memory=0.8 * gigabytes)
    assert tight.network.backbone.recompute
    assert tight.config.activation_checkpointing is True
    assert plan_memory(tight).fits
    with pytest.raises(UserError, match="training needs"):
        make_trainer(**deep, train__memory=0.8 * gigabytes, train__activation_checkpointing=False)
    with pytest.raises(UserError, match="training needs"):
        make_trainer(**deep, train__memory=0.01 * gigabytes)


@pytest.mark.slow
def test_a_process_that_may_have_little_memory_is_told_before_and_during_training(tmp_path: Path) -> None:
    code = f"""
import resource, sys
import torch, sklearn.datasets
from beeline.cli.main import run
from beeline.core.memory import available_memory
from beeline.train import memory
torch.set_num_threads(1)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
words = "train digits --train.threads 1 --train.precision fp32 --train.batch_size 8192 --train.steps 2".split()
small = "--train.batch_size 2 --train.score_samples 0 --verbosity silent --out {tmp_path}/small".split()
small += "--sample.steps 1 --train.held_out_every 0 --train.sample_every 0 --train.tensorboard false".split()
run([*words, *small])
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 500_000_000, resource.RLIM_INFINITY))
assert available_memory() <= 500_000_000
print(run([*words, "--out", "{tmp_path}/before"]), flush=True)
memory.available_memory = lambda device: None
print(run([*words, "--out", "{tmp_path}/during"]), flush=True)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout.split() == ["2", "1"], done.stderr
    before, *_, during = [line for line in done.stderr.splitlines() if line.startswith("beeline: ")]
    assert re.search(r"training needs .* GB of memory, \d+ MB are there; the largest part is activations", before)
    assert re.search(r"step 1: out of memory; .* --train.batch_size 4096 fits", during)
    assert not (tmp_path / "before").exists()
    assert "Traceback" not in done.stderr


_PIXELS = '''"""Noise of which every pixel is a token."""
from dataclasses import dataclass
import numpy as np
from beeline import Example, GridTokenizer, Standardise, image_grid

@dataclass(frozen=True)
class Pixels:
    """Noise."""
    def dataset(self, split):
        random = np.random.default_rng(split == "train")
        return [Example(random.normal(size=(128, 128, 1)).astype(np.float32)) for _ in range(2)]
    def normaliser(self): return Standardise()
    def tokenizer(self): return GridTokenizer((1, 1), 1)
    def conditions(self): return []
    def metrics(self): return []
    def preview(self, samples): return image_grid([np.zeros((8, 8, 1), np.uint8)])

MODALITY = Pixels
'''


@pytest.mark.slow
def test_sixteen_thousand_tokens_train_without_room_for_what_each_thinks_of_each(tmp_path: Path) -> None:
    """A single matrix of their attention would take 1 GiB in fp32; nothing on the way to a step holds one."""
    (tmp_path / "pixels.py").write_text(_PIXELS)
    code = f"""
from beeline.cli.main import run
from pathlib import Path
words = "profile {tmp_path}/pixels.py --train.threads 1 --train.precision fp32 --train.batch_size 1 --train.steps 2"
small = "--model.hidden_size 32 --model.depth 2 --model.num_heads 1 --steps 1"
assert run([*words.split(), *small.split()]) == 0
status = Path("/proc/self/status").read_text()
print("peak", int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split("peak")[1]) < 1.5 * 2**20  # kB, torch itself among them


def test_what_was_saved_stays_when_memory_runs_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole, calls = Flow.__call__, [0]

    def greedy(self: Flow, *arguments: Any) -> torch.Tensor:
        calls[0] += 1
        if calls[0] == 9:  # two of them make the memory plan
            torch.empty(MOST, dtype=torch.uint8)
        return whole(self, *arguments)

    monkeypatch.setattr(Flow, "__call__", greedy)
    options = {**FAST, "train.steps": 8, "train.held_out_every": 0, "train.checkpoint_every": 2}
    with pytest.raises(RunError, match=r"step 7: out of memory; .* what was saved stays; --train.batch_size 8 fits"):
        train("digits", tmp_path / "run", options=options)
    assert (tmp_path / "run" / "checkpoints" / "step-000006").is_dir()
    monkeypatch.undo()
    train("digits", tmp_path / "run", resume=True, options=options)
    assert (tmp_path / "run" / "checkpoints" / "step-000008").is_dir()


def test_other_failures_keep_their_own_words() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(MOST, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("sizes do not match"))
    assert not is_out_of_memory(OSError("not enough memory"))
    with (
        pytest.raises(RuntimeError, match="sizes"),
        memory.shortage_explained(plan_memory(make_trainer()), make_trainer()),
    ):
        raise RuntimeError("sizes do not match")


def test_shared_memory_is_counted_once() -> None:
    one = torch.zeros(1000)
    assert held_bytes({"a": one, "b": [one[10:], (one.view(10, 100), None)]}) == 4000
    assert held_bytes([one, torch.zeros(10, dtype=torch.float64)]) == 4080
    free = available_memory()
    assert free is None or 0 < free < MOST


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "batch", "precision"), [("digits", 512, "bf16"), ("digits", 512, "fp32")])
def test_the_plan_is_near_what_a_fresh_process_takes(recipe: str, batch: int, precision: str) -> None:
    code = f"""
import re, torch
torch.set_num_threads(1)
from beeline.train.memory import plan_memory
from tests.train.helpers import command, finish, flags, make_trainer
def status(key):
    return int(re.search(key + r":\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
make_trainer("waves").train_step()
options = dict(model__preset="DiT-Micro", train__batch_size={batch}, train__precision="{precision}")
trainer = make_trainer("{recipe}", **options)
open("/proc/self/clear_refs", "w").write("5")
before = status("VmRSS")
for _ in range(3):
    trainer.train_step()
parts = plan_memory(trainer).every
print((status("VmHWM") - before) / sum(parts[name] for name in ("gradients", "activations", "working space")))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0.8 < float(done.stdout) < 1.2


def test_what_was_tried_is_let_go_of_after_the_memory_is_planned() -> None:
    trainer = make_trainer()
    weights = weakref.ref(next(iter(trainer.network.parameters())))
    plan_memory(trainer)
    del trainer
    gc.collect()
    assert weights() is None


def test_a_run_says_that_it_computes_activations_again(tmp_path: Path) -> None:
    options = {**FAST, "model.depth": 8, "train.batch_size": 64, "train.steps": 2}
    words = [*flags(options), "--dry-run", "--out", str(tmp_path / "run")]
    assert "activation_checkpointing" not in finish(command("train", "digits", *words)).stdout
    need = plan_memory(make_trainer(model__depth=8, train__batch_size=64)).need / 2**30
    told = finish(command("train", "digits", *words, f"--train.memory={0.8 * need}")).stdout
    assert re.search(r"train\.activation_checkpointing +true +kept, activations do not fit", told)
