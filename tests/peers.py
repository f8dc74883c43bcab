"""What recorded references of DDPM share: the analytic net, the official network, and recorded draws."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from beeline.core.batching import collate
from beeline.core.conditions import Conditions
from beeline.core.prediction import Prediction
from beeline.core.random import Key
from beeline.core.tokens import Tokens
from beeline.model import interop
from beeline.model.network import Network
from beeline.process.build import build_process
from beeline.process.config import ProcessConfig
from beeline.process.ddpm import DiscreteDDPM
from beeline.tokenizers.grid import GridTokenizer

TOKENIZER = GridTokenizer((2, 2), 4)


def levels_of(**options: Any) -> DiscreteDDPM:
    process = build_process(ProcessConfig(path="ddpm", **options))
    assert isinstance(process, DiscreteDDPM)
    return process


def recording(folder: Path, name: str) -> dict[str, np.ndarray[Any, Any]]:
    """All arrays of a recorded file."""
    with np.load(folder / f"{name}.npz") as file:
        return dict(file)


def tokens(images: np.ndarray[Any, Any]) -> Tokens:
    """(B, C, H, W) as recorded to tokens."""
    return collate([TOKENIZER.encode(image) for image in torch.from_numpy(images).permute(0, 2, 3, 1)])


def images(values: Tensor, like: Tokens) -> Tensor:
    """(B, L, C) numbers of tokens to (B, C, H, W)."""
    singles = [Tokens(values[i : i + 1], layout=(like.layout[i],)) for i in range(len(values))]
    return torch.stack([TOKENIZER.decode(single) for single in singles]).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class Analytic:
    """The net written out in the references' README; it treats every number alike, so tokens may hold it."""

    process: DiscreteDDPM
    kind: str = "noise"
    learned: bool = True

    def __call__(self, x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
        phase = x_t.expand(2.0 * math.pi * self.process.time_input(t) / self.process.levels)
        output = 0.7 * x_t.values + 0.2 * torch.sin(3.0 * x_t.values + phase)
        variance = 0.8 * torch.tanh(x_t.values + torch.cos(phase)) if self.learned else None
        return Prediction(self.process, x_t, t, output, self.kind, variance)


def official_network(folder: Path, process: DiscreteDDPM, kind: str = "noise") -> Network:
    """The small official DiT."""
    imported = interop.load(folder / "dit_small.pt", "dit", num_heads=4, null_row=True)
    start = imported.starting()
    network = Network(start.model, TOKENIZER, start.codec.conditions, process, kind, outputs=2)
    network.load_state_dict(start.tensors)
    return network.eval()


def labels(y: np.ndarray[Any, Any]) -> Conditions:
    """Classes that guidance may drop."""
    null = torch.zeros(len(y), dtype=torch.bool)
    return Conditions({"label": torch.from_numpy(y).long()}, {"label": null}, {"label": 0.1})


@dataclass(frozen=True)
class Recorded:
    """Hands out recorded noise: that of the step which the key names."""

    steps: list[Tokens]

    def sample(self, like: Tokens, key: Key) -> Tensor:
        return self.steps[int(key.purpose.rsplit("/", 1)[-1])].values


def assert_near(ours: Tensor, theirs: np.ndarray[Any, Any], relative: float) -> None:
    """Equal to within a share of the largest recorded number."""
    expected = torch.from_numpy(theirs)
    torch.testing.assert_close(ours, expected, rtol=0, atol=relative * expected.abs().max().item())
