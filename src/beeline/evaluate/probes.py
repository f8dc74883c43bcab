"""What is measured beside training, on data it does not see and draws it does not use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from beeline.core.data import Batch
from beeline.core.protocols import Objective, Predictor
from beeline.core.random import Key
from beeline.model.codec import Encoded
from beeline.train.trainer import Trainer

_MOST_EXAMPLES = 256


@dataclass(frozen=True)
class HeldOutLoss:
    """The objective on held-out examples, at the same times and with the same noise every time.

    Args:
        objective: what training minimises.
        batch: held-out examples.
        every: steps between measurements, at least.
        precision: of training.
    """

    objective: Objective
    batch: Batch
    every: int
    precision: str

    def __call__(self, step: int, predictor: Predictor) -> dict[str, Any]:
        """The mean loss."""
        device = self.batch.tokens.values.device
        key = Key.range(0, 0, self.batch.tokens.samples, device).fold("held out")
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            return {"held_out_loss": self.objective(predictor, self.batch, key).mean().item()}


def held_out_loss(trainer: Trainer, held_out: Sequence[Encoded], every: int) -> HeldOutLoss:
    """The probe of a run.

    Args:
        trainer: of the run.
        held_out: encoded examples, of which the first few hundred are used.
        every: steps between measurements, at least.
    """
    batch = trainer.feed.codec.batch(held_out[:_MOST_EXAMPLES])
    return HeldOutLoss(trainer.objective, batch.to(trainer.config.device), every, trainer.config.precision)
