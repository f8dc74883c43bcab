"""Classifier-free guidance.

    y = u + s (c - u),  s = 1 is off

Source: Ho & Salimans 2022, with their w = s - 1. All predictions at one (x_t, t) are affine in one another, so
guiding one guides them all.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from beeline.core.conditions import Conditions
from beeline.core.prediction import Prediction
from beeline.core.protocols import Predictor
from beeline.core.tokens import Tokens


@dataclass(frozen=True)
class Guided:
    """A predictor that is pushed away from its own unconditional prediction.

    Both evaluations go through the network as one batch.

    Args:
        predictor: has been trained with dropped conditions.
        scale: s; 1 gives the conditional prediction.
        guided: (1 or B, 1 or L, C) True for the numbers that guidance moves, None for all; the others keep the
            conditional prediction.
    """

    predictor: Predictor
    scale: float
    guided: Tensor | None = None

    def __call__(self, x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
        """The guided prediction, which has cost twice its passes."""
        both = self.predictor(x_t.doubled(), torch.cat([t, t]), conditions.join(conditions.absent()))
        conditional, unconditional = both.output.chunk(2)
        pushed = unconditional + self.scale * (conditional - unconditional)
        if self.guided is not None:
            pushed = torch.where(self.guided, pushed, conditional)
        variance = None if both.variance is None else both.variance.chunk(2)[0]
        return Prediction(both.process, x_t, t, pushed, both.kind, variance, passes=2 * both.passes)
