"""What must hold before any speed is told: each check is measured figures with their bounds.

All of them are made in fp32 with exact products, on a small net whose gates are open.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from beeline.core.data import Batch
from beeline.core.errors import RunError
from beeline.core.matmul import multiplying
from beeline.core.protocols import Objective, Predictor
from beeline.core.random import Key
from beeline.model.compiling import compiled
from beeline.train.trainer import Trainer
from benchmarks.gpu.findings import Finding, Tensors, apart
from benchmarks.gpu.packed import packing
from benchmarks.gpu.subject import Subject
from benchmarks.peers.nets import Net

CHECKED = Net("checked", hidden=128, depth=3, heads=2, patch=2, channels=4, batch=8, size=16, classes=10)
_STEPS = 3
_NUMBERS = 64
# Rounding alone leaves 1e-6 of outputs and gradients; TF32, which must not be on here, leaves 1e-3.
_ROUNDING, _DRAWS = 1e-4, 1e-12
# AdamW divides gradients by their size, which lets rounding of the small ones through: 1e-5 of the movement on CPUs.
_MOVEMENT = 1e-2


class Exploding:
    """An objective whose loss is infinite.

    Args:
        original: the objective.
    """

    def __init__(self, original: Objective) -> None:
        self.original = original
        self.prediction, self.outputs, self.times = original.prediction, original.outputs, original.times
        self.learned = original.learned

    def __call__(self, predictor: Predictor, batch: Batch, key: Key) -> Tensor:
        """(N,) infinities."""
        return self.original(predictor, batch, key) * float("inf")


def changed(one: Tensors, other: Tensors) -> int:
    """How many numbers are not the same to the last bit."""
    return sum(int((part.cpu() != other[name].cpu()).sum()) for name, part in one.items())


def outputs(trainer: Trainer) -> Tensors:
    """What the network says of the first batch."""
    batch, key = _first(trainer)
    with compiled(trainer.network, trainer.config.compile):  # with gradients: compiled once for both
        found = trainer.network(batch.tokens, trainer.objective.times(key), batch.conditions)
    return {"velocity": found.velocity.detach()}


def gradients(trainer: Trainer) -> Tensors:
    """Of the loss of the first batch."""
    trainer.network.zero_grad()
    with compiled(trainer.network, trainer.config.compile):
        loss = trainer.loss(*_first(trainer)).mean()
    loss.backward()
    parameters = trainer.network.named_parameters()
    found = {name: each.grad.clone() for name, each in parameters if each.grad is not None}
    trainer.network.zero_grad()
    return {**found, "loss": loss.detach()}


def _first(trainer: Trainer) -> tuple[Batch, Key]:
    device, size = trainer.config.device, trainer.batch_size
    return trainer.feed.batch(0, size).to(device), Key.range(trainer.config.seed, 0, size, device)


def weights(trainer: Trainer) -> dict[str, Tensor]:
    """A copy of the network's tensors, on the CPU."""
    return {name: tensor.detach().cpu().clone() for name, tensor in trainer.network.state_dict().items()}


def draws(device: str) -> list[Finding]:
    """Draws are functions of their names, on every device.

    Args:
        device: cpu or cuda.
    """
    here, there = (Key.range(0, 2**33, _NUMBERS, each).fold("check") for each in ("cpu", device))
    differ = float((here.uniform(_NUMBERS) != there.uniform(_NUMBERS).cpu()).sum())
    normal = float((here.normal(_NUMBERS) - there.normal(_NUMBERS).cpu()).abs().max())
    return [
        Finding("uniform draws that differ from the CPU's", differ, 0),
        Finding("greatest difference of normal draws", normal, _DRAWS),
    ]


def agreement(device: str, net: Net = CHECKED) -> list[Finding]:
    """The CPU and the device compute the same: a forward pass, gradients, training steps.

    Args:
        device: cpu or cuda.
        net: that is compared.
    """
    here, there = (Subject(net, each).trainer() for each in ("cpu", device))
    with multiplying("exact", device):
        begin, between = weights(here), f"cpu and {device}"
        found = [
            Finding(f"forward pass, {between}", apart(outputs(here), outputs(there)), _ROUNDING),
            Finding(f"loss and gradients, {between}", apart(gradients(here), gradients(there)), _ROUNDING),
        ]
        for _ in range(_STEPS):
            here.train_step()
            there.train_step()
        there.check_finite()
    moved = apart(weights(here), weights(there), begin)
    return [*found, Finding(f"movement of {_STEPS} steps, {between}", moved, _MOVEMENT)]


def compilation(device: str, net: Net = CHECKED) -> list[Finding]:
    """Compiled blocks compute what plain ones do.

    Args:
        device: cpu or cuda.
        net: that is compared.
    """
    subject = Subject(net, device)
    plain, made = subject.trainer(), subject.trainer(compile=True)
    with multiplying("exact", device):
        return [
            Finding("forward pass, plain and compiled", apart(outputs(plain), outputs(made)), _ROUNDING),
            Finding("loss and gradients, plain and compiled", apart(gradients(plain), gradients(made)), _ROUNDING),
        ]


@contextmanager
def repeatable() -> Iterator[None]:
    """Leave out kernels that add up in whatever order they come to it."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    with warnings.catch_warnings(), sdpa_kernel(SDPBackend.MATH):
        # cuBLAS is repeatable on the one stream that is used here, of which torch warns all the same.
        warnings.simplefilter("ignore")
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def recording(device: str, net: Net = CHECKED) -> list[Finding]:
    """A recorded step that is played learns what a computed one learns; on a CPU, which records none, it is computed.

    Args:
        device: cpu or cuda.
        net: that is trained.
    """
    plain, played = Subject(net, device).trainer(), Subject(net, device).trainer(cuda_graph=device == "cuda")
    with multiplying("exact", device):
        begin = weights(plain)
        for _ in range(2 * _STEPS):
            plain.train_step()
            played.train_step()
        played.check_finite()
    return [
        Finding(
            f"movement of {2 * _STEPS} steps, computed and played",
            apart(weights(plain), weights(played), begin),
            _MOVEMENT,
        )
    ]


def resumption(device: str, net: Net = CHECKED) -> list[Finding]:
    """A run that is stopped, kept in a file and taken up by a fresh trainer ends as one that was never stopped.

    Args:
        device: cpu or cuda.
        net: that is trained.
    """
    with multiplying("exact", device), repeatable():
        whole, stopped = (Subject(net, device).trainer() for _ in range(2))
        for _ in range(2 * _STEPS):
            whole.train_step()
        for _ in range(_STEPS):
            stopped.train_step()
        fresh = Subject(net, device, seed=1).trainer()
        fresh.restore(_STEPS, kept(stopped.tensors()))
        for _ in range(_STEPS):
            fresh.train_step()
    expected, found = _flat(whole.tensors()), _flat(fresh.tensors())
    what = f"numbers of {sum(each.numel() for each in expected.values()):,} that a resumed run ends with otherwise"
    return [Finding(what, changed(expected, found), 0)]


def kept(groups: Mapping[str, Tensors]) -> dict[str, dict[str, Tensor]]:
    """Tensors as they come back from a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kept.safetensors"
        save_file({name: each.detach().cpu().contiguous() for name, each in _flat(groups).items()}, path)
        found = load_file(path)
    return {group: {name: found[f"{group}/{name}"] for name in tensors} for group, tensors in groups.items()}


def _flat(groups: Mapping[str, Tensors]) -> dict[str, Tensor]:
    return {f"{group}/{name}": each for group, tensors in groups.items() for name, each in tensors.items()}


def explosion(device: str, net: Net = CHECKED) -> list[Finding]:
    """A gradient that is not finite is found, and touches neither weights nor averages nor moments.

    Args:
        device: cpu or cuda.
        net: that is trained.
    """
    trainer = Subject(net, device).trainer(Exploding)
    before = {name: each.detach().cpu().clone() for name, each in _state(trainer).items()}
    unnoticed = 1
    try:
        trainer.train_step()
        trainer.check_finite()
    except RunError:
        unnoticed = 0
    return [
        Finding("numbers that a step without a finite gradient has touched", changed(before, _state(trainer)), 0),
        Finding("steps without a finite gradient that went unnoticed", unnoticed, 0),
    ]


def _state(trainer: Trainer) -> dict[str, Tensor]:
    groups = trainer.tensors()
    return _flat({name: groups[name] for name in ("weights", "ema", "optimiser")})


CHECKS: dict[str, Callable[[str], list[Finding]]] = {
    "draws": draws,
    "agreement": agreement,
    "compilation": compilation,
    "recording": recording,
    "packing": packing,
    "resumption": resumption,
    "explosion": explosion,
}
