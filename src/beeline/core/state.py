"""A point of a sampling trajectory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from beeline.core.prediction import Passes
from beeline.core.tokens import Tokens


@dataclass(frozen=True)
class SamplerState:
    """Where a walk from noise to data has come to.

    Args:
        x: the samples at ``times[index]``.
        times: (n + 1,) descending nodes of n steps.
        index: node reached.
        passes: network passes that each sample has cost so far.
        memory: what a solver carries from step to step.
    """

    x: Tokens
    times: Tensor
    index: int = 0
    passes: Passes = 0
    memory: Any = None
