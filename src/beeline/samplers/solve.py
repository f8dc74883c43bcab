"""What all samplers share: evaluating, advancing, finishing, and the walk itself; most solve the flow's ODE.

dx/dt = v(x, t), integrated from t_max down to t_min
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from beeline.core.conditions import Conditions
from beeline.core.prediction import Prediction
from beeline.core.protocols import Predictor, Sampler
from beeline.core.random import Key
from beeline.core.state import SamplerState
from beeline.core.tokens import Tokens

# What is done between steps: look at a state, or give the one to go on from in its place.
Interlude = Callable[[SamplerState], SamplerState | None]


class Walker:
    """Start and finish of a walk that keeps nothing from step to step; subclasses give ``step``."""

    def initialise(self, x: Tokens, times: Tensor) -> SamplerState:
        """The state at ``times[0]``."""
        return SamplerState(x, times)

    def finish(self, state: SamplerState, predictor: Predictor, conditions: Conditions) -> SamplerState:
        """At t = 0 nothing; where the grid stops short of it, the data expected there, at one more evaluation."""
        t = state.times[state.index]
        if t == 0:
            return state
        prediction = evaluate(state.x, t, predictor, conditions)
        return replace(state, x=state.x.with_values(prediction.x0), passes=state.passes + prediction.passes)


@runtime_checkable
class KnowsSamples(Protocol):
    """A predictor that treats each sample of its batch in its own way."""

    def of_rows(self, index: Tensor) -> Predictor:
        """The predictor of some of the samples.

        Args:
            index: (M,) int64 which.
        """


def of_rows(predictor: Predictor, index: Tensor) -> Predictor:
    """The predictor of some samples of its batch; most are of any samples.

    Args:
        predictor: of the batch.
        index: (M,) int64 which.
    """
    return predictor.of_rows(index) if isinstance(predictor, KnowsSamples) else predictor


@dataclass(frozen=True)
class Watched:
    """A predictor whose predictions somebody looks at.

    Args:
        predictor: makes them.
        watch: is shown each of them.
    """

    predictor: Predictor
    watch: Callable[[Prediction], None]

    def __call__(self, x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
        """What the predictor says."""
        prediction = self.predictor(x_t, t, conditions)
        self.watch(prediction)
        return prediction

    def of_rows(self, index: Tensor) -> Watched:
        """The same predictor of some of the samples."""
        return Watched(of_rows(self.predictor, index), self.watch)


def evaluate(x: Tokens, t: Tensor, predictor: Predictor, conditions: Conditions) -> Prediction:
    """What the predictor says when every sample is at the same time.

    Args:
        x: the samples.
        t: scalar time.
        predictor: asked once.
        conditions: of the samples.
    """
    return predictor(x, t.to(x.values).expand(x.samples), conditions)


def clipped(x0: Tensor, bound: float | None) -> Tensor:
    """Expected data within [-bound, bound]."""
    return x0 if bound is None else x0.clamp(-bound, bound)


def sample(
    sampler: Sampler,
    predictor: Predictor,
    start: Tokens,
    times: Tensor,
    conditions: Conditions,
    key: Key,
    after_step: Interlude | None = None,
) -> SamplerState:
    """Walk a grid from noise to data.

    Args:
        sampler: the solver.
        predictor: says what is expected where the walk is.
        start: a draw from ``Process.prior``.
        times: (n + 1,) descending nodes.
        conditions: of the samples.
        key: names the draws of stochastic solvers.
        after_step: called with each state on the way, for trajectories and progress; a state that it gives back takes
            the place of the one that it was called with, further up the grid too.
    """
    with torch.no_grad():
        state = sampler.initialise(start, times)
        taken = 0  # a step that is taken again draws anew
        while state.index < len(times) - 1:
            state = sampler.step(state, predictor, conditions, key.fold("step", taken))
            taken += 1
            if after_step is not None:
                state = after_step(state) or state
        return sampler.finish(state, predictor, conditions)
