"""What must hold on a GPU as on a CPU; the checks are those with which the script for GPUs begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks.gpu.checks import CHECKED, CHECKS
from benchmarks.gpu.machine import waits
from benchmarks.gpu.subject import Subject
from torch.utils._python_dispatch import TorchDispatchMode

from beeline.core.device import sent, sent_together
from tests.train.helpers import make_trainer

GPU = pytest.param("cuda", marks=pytest.mark.gpu)
IN_EARNEST = {"compilation": pytest.mark.slow}
HERE = [pytest.param(name, "cpu", marks=IN_EARNEST.get(name, ())) for name in CHECKS]
THERE = [pytest.param(name, "cuda", marks=pytest.mark.gpu) for name in CHECKS]


@pytest.fixture(autouse=True)
def _gpu(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("torch finds no GPU here")


@pytest.mark.parametrize(("name", "device"), [*HERE, *THERE])
def test_the_checks_hold(name: str, device: str) -> None:
    """Draws, agreement with the CPU, compiled against plain, resuming, a gradient that is not finite."""
    found = CHECKS[name](device)
    assert found
    for finding in found:
        assert finding.holds, str(finding)


@pytest.mark.gpu
def test_training_on_a_gpu_gives_the_same_draws_and_nearly_the_same_loss() -> None:
    cpu, gpu = make_trainer(train__device="cpu"), make_trainer(train__device="cuda")
    for _ in range(5):
        cpu.train_step()
        gpu.train_step()
    gpu.check_finite()
    one, other = cpu.take_measurements(), gpu.take_measurements()
    assert one["loss"] == pytest.approx(other["loss"], rel=1e-3)


@pytest.mark.gpu
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_training_step_waits_for_nothing(precision: str, compiled: bool) -> None:
    trainer = Subject(CHECKED, "cuda").trainer(precision=precision, compile=compiled)
    for _ in range(2):
        trainer.train_step()
    assert waits(trainer.train_step) == []
    assert waits(lambda: trainer.check_finite()), "what waits is seen"


class ReadBack(TorchDispatchMode):
    """Counts the numbers that Python asks of tensors one by one, for each of which a GPU would be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_training_step_asks_for_no_number_but_whether_it_was_finite(precision: str) -> None:
    trainer = Subject(CHECKED, "cpu").trainer(precision=precision)
    with ReadBack() as read:
        trainer.train_step()
    assert read.count == 1  # by check_finite, in the steps of a CPU alone


@pytest.mark.parametrize("device", ["cpu", GPU])
def test_numbers_arrive(device: str) -> None:
    found = sent([3, 1, 2**40], torch.device(device))
    assert (found.tolist(), found.dtype, found.device.type) == ([3, 1, 2**40], torch.int64, device)
    arrays = [np.arange(3), np.arange(4, 10).reshape(2, 3), np.arange(8).reshape(4, 2)[:, 1:]]
    for array, there in zip(arrays, sent_together(arrays, torch.device(device)), strict=True):
        assert (there.tolist(), there.dtype, there.device.type) == (array.tolist(), torch.int64, device)
