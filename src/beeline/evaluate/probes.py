"""What is measured beside training, on data it does not see and draws it does not use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from beeline.core.data import Batch
from beeline.core.files import write_bytes
from beeline.core.protocols import Objective, Predictor, Probe
from beeline.core.random import Key
from beeline.data.order import Order
from beeline.evaluate.gallery import gallery
from beeline.generate.engine import Engine, Request
from beeline.generate.write import picture_bytes
from beeline.model.codec import Codec, Encoded
from beeline.model.starting import Starting
from beeline.train.folder import RunFolder
from beeline.train.setup import Prepared
from beeline.train.trainer import TIME_BINS, Trainer

MOST_EXAMPLES = 256
_MOST_SAMPLES = 16


@dataclass(frozen=True)
class HeldOutLoss:
    """The objective on held-out examples, at the same times and with the same noise every time.

    Args:
        objective: what training minimises.
        batches: held-out examples, as many at a time as training takes.
        every: steps between measurements, at least.
        precision: of training.
    """

    objective: Objective
    batches: Sequence[Batch]
    every: int
    precision: str

    def __call__(self, step: int, predictor: Predictor) -> dict[str, Any]:
        """The mean loss, and that of each bin of time."""
        parts, times, first = [], [], 0
        for batch in self.batches:
            device = batch.tokens.values.device
            key = Key.range(0, first, batch.tokens.samples, device).fold("held out")
            with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16"):
                parts.append(self.objective(predictor, batch, key))
            times.append(self.objective.times(key))
            first += batch.tokens.samples
        losses = torch.cat(parts)
        bins = (torch.cat(times) * TIME_BINS).long().clamp(0, TIME_BINS - 1)
        by_time = [losses[bins == each].mean().item() if (bins == each).any() else None for each in range(TIME_BINS)]
        return {"held_out_loss": losses.mean().item(), "held_out_loss_by_time": by_time}


@dataclass(frozen=True)
class SampleGrid:
    """A picture of the same few samples as training goes on.

    Args:
        engine: around the network that is trained.
        requests: what is drawn.
        home: where pictures go.
        every: steps between pictures, at least.
    """

    engine: Engine
    requests: Sequence[Request]
    home: Path
    every: int

    def __call__(self, step: int, predictor: Predictor) -> dict[str, Any]:
        """Write the picture; nothing to log."""
        samples = self.engine.generate(self.requests, seed=0)
        picture = picture_bytes(self.engine.modality, samples.examples)
        write_bytes(self.home / f"step-{step:06}.png", picture)
        return {}


def probes_of(prepared: Prepared, folder: RunFolder) -> list[Probe]:
    """What is measured beside a run.

    Args:
        prepared: the run.
        folder: where its pictures go.
    """
    options, trainer = prepared.config.train, prepared.trainer
    probes: list[Probe] = []
    if options.held_out_every:
        probes.append(held_out_loss(trainer, prepared.unseen, options.held_out_every))
    if options.sample_every:
        network = trainer.network
        config = prepared.config
        start = Starting(prepared.codec, config.model, config.process, config.objective, config.sample, {})
        modality = prepared.source.make(config.data)
        engine = Engine(network, start, modality, network.process, network.source)
        network.train()
        pages = [page.requests for page in gallery(engine, prepared.held_out)[0]]
        drawn = [pages[index % len(pages)][index // len(pages)] for index in range(_MOST_SAMPLES)]
        probes.append(SampleGrid(engine, drawn, folder.samples / "steps", options.sample_every))
    return probes


def held_out_loss(trainer: Trainer, held_out: Sequence[Encoded], every: int) -> HeldOutLoss:
    """The probe of a run.

    Args:
        trainer: of the run.
        held_out: encoded examples, of which a few hundred are used.
        every: steps between measurements, at least.
    """
    config, at_a_time = trainer.config, trainer.batch_size // trainer.config.accumulation
    batches = held_out_batches(trainer.feed.codec, held_out, at_a_time, config.device)
    return HeldOutLoss(trainer.objective, batches, every, config.precision)


def held_out_batches(codec: Codec, held_out: Sequence[Encoded], at_a_time: int, device: str) -> list[Batch]:
    """The examples that held-out losses are measured on: drawn from all, whose order may be that of their classes.

    Args:
        codec: of the model.
        held_out: encoded examples.
        at_a_time: samples a batch, at most.
        device: where they are measured.
    """
    count = min(len(held_out), MOST_EXAMPLES)
    drawn = [held_out[index] for index in Order(len(held_out), seed=0).indices(0, count)]
    return [codec.batch(drawn[first : first + at_a_time]).to(device) for first in range(0, count, at_a_time)]
