"""What a network says about a noisy sample, readable as any quantity that the process relates to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from beeline.core.tokens import Tokens

# Network passes: the same for all samples, or (N,) one count each.
Passes = int | Tensor

if TYPE_CHECKING:
    from beeline.core.protocols import Process


@dataclass(frozen=True)
class Prediction:
    """A mean output y = a(t) x0 + b(t) e at a noisy sample, and its other forms on demand.

    Args:
        process: relates x0, e and x_t.
        x_t: the noisy sample, (B, L, C).
        t: (N,) times.
        output: (B, L, C) what was predicted.
        kind: name of what was predicted: ``velocity``, ``noise``, ``data`` or another of ``process.path``.
        variance: (B, L, C) second output of networks that learn a variance, else None.
        passes: network passes that each sample has cost.
    """

    process: Process
    x_t: Tokens
    t: Tensor
    output: Tensor
    kind: str
    variance: Tensor | None = None
    passes: Passes = 1

    def as_kind(self, kind: str) -> Tensor:
        """The prediction in another form: (B, L, C)."""
        return self.process.convert(self.output, self.x_t, self.t, self.kind, kind)

    @property
    def x0(self) -> Tensor:
        """Expected data, E[x0 | x_t, c]."""
        return self.as_kind("data")

    @property
    def e(self) -> Tensor:
        """Expected noise, E[e | x_t, c]."""
        return self.as_kind("noise")

    @property
    def velocity(self) -> Tensor:
        """Expected velocity, E[alpha' x0 + sigma' e | x_t, c]."""
        return self.as_kind("velocity")

    @property
    def score(self) -> Tensor:
        """Gradient of log p(x_t | c) with respect to x_t, -E[e | x_t, c] / sigma."""
        return self.as_kind("score")
