"""What the clauses of the contract look at: a modality, some of its examples, and a small network for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn

from beeline.backbone.config import ModelConfig
from beeline.core.data import Example, Examples, evenly
from beeline.core.offers import Settling
from beeline.core.protocols import Modality, Objective, Process, Source
from beeline.core.random import Key
from beeline.modalities.loading import ModalitySource, ask
from beeline.model.build import build_network
from beeline.model.codec import Codec, Encoded
from beeline.model.codec_checks import starts
from beeline.model.network import Network
from beeline.model.starting import Starting
from beeline.objectives.config import ObjectiveConfig
from beeline.process.config import ProcessConfig
from beeline.samplers.config import SampleConfig
from beeline.train.setup import read_split
from beeline.train.supply import encode_some

Progress = Callable[[int, int], None]
READ, LOOKED_AT, BATCH = 512, 64, 8
_MOST_NUMBERS = 2**24
_TOKENS, _STEPS = 256, 2
_PRESET = "DiT-Nano"
_OPENED = 0.05  # deviation of tensors that begin at zero, behind which a fresh network would say nothing


class NotAskedError(Exception):
    """A clause that does not apply here, and why."""


def unheard(done: int, total: int) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True)
class Small:
    """A tiny network with what belongs to it.

    Args:
        network: fresh or trained.
        process: its path.
        source: where its noise comes from.
        objective: what it is trained for.
        start: its options.
    """

    network: Network
    process: Process
    source: Source
    objective: Objective
    start: Starting


class Subject:
    """A modality that is held to the contract.

    Args:
        source: where it is defined.
        options: its own options.
    """

    def __init__(self, source: ModalitySource, options: Mapping[str, Any]) -> None:
        self.source = source
        self.options = options
        self.trained: Small | None = None

    def fresh(self) -> Modality:
        """The modality made anew, with nothing left to choose."""
        modality = self.source.make(self.options)
        if isinstance(modality, Settling):
            settled: Modality = ask(self.source, modality, "settle", _TOKENS)[0]
            return settled
        return modality

    @cached_property
    def modality(self) -> Modality:
        """The modality."""
        return self.fresh()

    @cached_property
    def training(self) -> Examples:
        """The examples of the training split."""
        return read_split(self.source, self.modality, "train")

    @cached_property
    def held_out(self) -> Examples:
        """The examples of the held-out split."""
        return read_split(self.source, self.modality, "held_out")

    @cached_property
    def some(self) -> list[Example]:
        """At most 512 training examples, evenly spread, and fewer of large ones (2^24 numbers or sixteen)."""
        most = min(READ, max(2 * BATCH, _MOST_NUMBERS // max(1, self.training[0].array.size)))
        return [self.training[index] for index in evenly(self.training, most)]

    @cached_property
    def start(self) -> str | None:
        """Name of the condition that paths start from; None where they start from noise."""
        conditions = ask(self.source, self.modality, "conditions")
        return next((each.name for each in conditions if starts(each)), None)

    @cached_property
    def codec(self) -> Codec:
        """Fitted on ``some``."""
        codec = Codec.fit(self.modality, self.some, self.start)
        return codec.with_forms(encode_some(codec, self.some, "train", LOOKED_AT))

    @cached_property
    def encoded(self) -> list[Encoded]:
        """``some``, encoded."""
        return encode_some(self.codec, self.some, "train", len(self.some))

    @cached_property
    def batch(self) -> list[Example]:
        """A few of ``some``, of the commonest form where there are two or more of it, no two alike in conditions."""
        form = self.codec.forms[0][0]
        alike = [each for each in self.some if self.codec.form(each.array) == form]
        pool = alike if len(alike) > 1 else self.some
        return [pool[index] for index in evenly(pool, BATCH)]

    def small(self) -> Small:
        """A fresh tiny network, of the same weights every time."""
        start = Starting(
            self.codec,
            ModelConfig(preset=_PRESET),
            ProcessConfig() if self.start is None else ProcessConfig(source="condition", end=self.start),
            ObjectiveConfig(),
            SampleConfig(sampler="euler", steps=_STEPS),
            {},
        )
        process, source, objective = start.parts()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = build_network(start.model, process, objective, self.codec, source)
        return Small(network, process, source, objective, start)

    def opened(self) -> Small:
        """A fresh tiny network in which nothing is zero, so that every token and every condition counts."""
        small = self.small()
        _open(small.network)
        small.network.eval()
        return small


def _open(module: nn.Module) -> None:
    key = Key.range(0, 0, 1).fold("contract")
    with torch.no_grad():
        for number, (_, parameter) in enumerate(sorted(module.named_parameters())):
            if not parameter.any():
                parameter.copy_(_OPENED * key.fold(number).normal(parameter.numel()).view_as(parameter))


def plural(count: int, what: str) -> str:
    """A number of things."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def names_of(things: Sequence[Any]) -> str:
    """Names, or that there is none."""
    return ", ".join(each.name for each in things) or "none"
