"""Whole variational bounds of trained models, an upper bound on -log P of data on levels, in bits a number.

    -log P(x0) <= prior + steps + first

    prior   KL(q(x_1 | x0) || N(0, I)) = 1/2 sum of (alpha^2 x0^2 + sigma^2 - 1 - log sigma^2) at t = 1
    steps   sum over n = T - 1 ... 1 of KL(q(x_s | x_t, x0) || p(x_s | x_t))                 (bound.py)
            in continuous time 1/2 gamma'(t) |e - e_theta|^2, in the mean over t             (vdm.py)
    first   -log P(x0 | x_t) of the level of each number, at the least noise

On levels every term is taken, each at one draw of its noise, so the sum is unbiased and costs T passes a sample; in
continuous time 128 times are drawn, evenly spread. Training takes one of them at random.

Sources: Ho et al. 2020, equation 5; Nichol & Dhariwal 2021, section 3.4; Kingma et al. 2021, equation 11.

Shapes: N samples, T levels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from beeline.core.data import Batch
from beeline.core.protocols import Predictor, Process, Source
from beeline.core.random import Key
from beeline.objectives.bound import bound_term
from beeline.objectives.config import ObjectiveConfig
from beeline.objectives.vdm import VDM
from beeline.process.config import TimeConfig
from beeline.process.ddpm import DiscreteDDPM
from beeline.process.vdm import LogSNR


@dataclass(frozen=True)
class BoundTerms:
    """The three parts of a bound, (N,) bits a number each.

    Args:
        prior: what the last noise still tells of the data.
        steps: of all steps but the first from the data.
        first: of the levels of the data, given the least noisy sample.
    """

    prior: Tensor
    steps: Tensor
    first: Tensor

    @property
    def total(self) -> Tensor:
        """(N,) the bound."""
        return self.prior + self.steps + self.first


class WholeBound(Protocol):
    """A bound on -log P of samples, all its terms."""

    @property
    def formula(self) -> str:
        """Id of its formula."""
        ...

    @property
    def passes(self) -> int:
        """Network passes that a sample costs."""
        ...

    @property
    def data_levels(self) -> int:
        """Values that a number of the data can take, evenly from -1 to 1."""
        ...

    def __call__(self, predictor: Predictor, batch: Batch, key: Key) -> BoundTerms:
        """Its terms for each sample; every draw is named by the key."""


@dataclass(frozen=True)
class DiscreteBound:
    """The bound of DDPM with a learned variance.

    Args:
        process: the levels.
        source: where noise comes from.
        data_levels: values that a number of the data can take, evenly from -1 to 1.
    """

    process: DiscreteDDPM
    source: Source
    data_levels: int = 256

    formula = "bits-bound-ddpm-1"

    @property
    def passes(self) -> int:
        """One a level."""
        return self.process.levels

    def __call__(self, predictor: Predictor, batch: Batch, key: Key) -> BoundTerms:
        """Its terms for each sample."""
        data = batch.tokens
        first, steps = (torch.zeros(data.samples, dtype=torch.float64, device=data.values.device) for _ in range(2))
        with torch.no_grad():
            for level in range(self.process.levels):
                t = self.process.time(torch.full((data.samples,), level, device=data.values.device))
                t = t.to(data.values.dtype)
                noise = self.source.sample(data, key.fold("bound", level))
                predicted = predictor(self.process.mix(data, noise, t), t, batch.conditions)
                term = bound_term(self.process, data, predicted, False, self.data_levels).double()
                if level:
                    steps += term
                else:
                    first += term
        alpha, sigma = (
            at(torch.ones(1, dtype=torch.float64)).item() for at in (self.process.alpha, self.process.sigma)
        )
        nats = 0.5 * ((alpha * data.values.double()).square() + sigma**2 - 1.0 - 2.0 * math.log(sigma))
        return BoundTerms(data.sample_mean(nats) / math.log(2.0), steps, first)


@dataclass(frozen=True)
class ContinuousBound:
    """The bound of VDM.

    Args:
        objective: knows one term of it at a random time.
        passes: times drawn for each sample.
    """

    objective: VDM
    passes: int = 128

    formula = "bits-bound-vdm-1"

    @property
    def data_levels(self) -> int:
        """As in training."""
        return self.objective.data_levels

    def __call__(self, predictor: Predictor, batch: Batch, key: Key) -> BoundTerms:
        """Its terms for each sample, means over times."""
        kept = replace(batch, conditions=replace(batch.conditions, rates={}))  # training drops some, a bound none
        sums: dict[str, Tensor] = {}
        with torch.no_grad():
            for number in range(self.passes):
                each = replace(key.fold("bound"), numbers=key.numbers * self.passes + number)
                for name, term in self.objective.terms(predictor, kept, each).items():
                    sums[name] = sums.get(name, 0.0) + term.double() / self.passes
        return BoundTerms(sums["latent"], sums["diffusion"], sums["reconstruction"])


def build_bound(config: ObjectiveConfig, process: Process, source: Source) -> WholeBound | None:
    """The bound of an objective that has one; None of others.

    Args:
        config: the objective.
        process: its path.
        source: where noise comes from.
    """
    if isinstance(process, DiscreteDDPM) and config.variance == "learned":
        return DiscreteBound(process, source, config.data_levels)
    if isinstance(process, LogSNR) and config.loss == "vlb":
        # The times of consecutive numbers, which here are those of one sample, are evenly spread.
        return ContinuousBound(VDM(replace(config, time=TimeConfig(draw="antithetic")), process, source))
    return None
