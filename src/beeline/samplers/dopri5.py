"""Dormand and Prince's method of order 5 with an error estimate of order 4: chooses each sample's steps by itself.

    x5   = x + h sum_i b_i k_i                         seven slopes; the last is the first of the next step
    size = sqrt(mean((h sum_i e_i k_i / (atol + rtol max(|x|, |x5|)))^2)),   e = b - b_hat
    accepted where size <= 1;   h <- h clamp(0.9 size^(-1/5), 0.2, 5)

Sources: Dormand & Prince 1980, "A family of embedded Runge-Kutta formulae", table 2; Hairer, Norsett & Wanner 1993,
"Solving ordinary differential equations I", section II.4, equations 4.11 to 4.14 (control and first step).

Every sample has a time and a step of its own, and mean is over its own data, so that what it becomes does not depend
on the others of its batch (E38). Samples that have arrived are evaluated no more.

Shapes: N samples, M of them under way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from beeline.core.conditions import Conditions
from beeline.core.errors import RunError
from beeline.core.protocols import Predictor
from beeline.core.random import Key
from beeline.core.state import SamplerState
from beeline.core.tokens import Tokens
from beeline.samplers.runge_kutta import Tableau, advanced, slopes
from beeline.samplers.solve import Walker, evaluate, of_rows

_FIFTH = (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84)
_FOURTH = (5179 / 57600, 0.0, 7571 / 16695, 393 / 640, -92097 / 339200, 187 / 2100, 1 / 40)
DORMAND_PRINCE = Tableau(
    (0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1),
    (
        (),
        (1 / 5,),
        (3 / 40, 9 / 40),
        (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
        _FIFTH,
    ),
    (*_FIFTH, 0.0),
)
_ERROR = tuple(fifth - fourth for fifth, fourth in zip(DORMAND_PRINCE.weights, _FOURTH, strict=True))
_MOST_TRIALS = 10_000
_SMALLEST_STEP = 1e-12


@dataclass(frozen=True)
class _Walk:
    """How far each sample has come.

    Args:
        x: the samples.
        t: (N,) float64 their times.
        sizes: (N,) float64 how far each will try to go next, above 0.
        slope: (B, L, C) velocity where they are.
        passes: (N,) network passes so far.
    """

    x: Tokens
    t: Tensor
    sizes: Tensor
    slope: Tensor
    passes: Tensor

    def rows(self, index: Tensor) -> _Walk:
        """Some of the samples."""
        return _Walk(self.x.rows(index), self.t[index], self.sizes[index], self.slope[index], self.passes[index])

    def put(self, index: Tensor, rows: _Walk) -> _Walk:
        """All samples, with those rows in their places."""
        return _Walk(
            self.x.with_values(self.x.values.index_copy(0, index, rows.x.values)),
            self.t.index_copy(0, index, rows.t),
            self.sizes.index_copy(0, index, rows.sizes),
            self.slope.index_copy(0, index, rows.slope),
            self.passes.index_copy(0, index, rows.passes),
        )


@dataclass(frozen=True)
class DormandPrince(Walker):
    """Adaptive fifth-order solver of the probability-flow ODE; nodes of its grid are where it must stop on its way.

    Args:
        rtol: error allowed in a step as a share of the size of each number, above 0.
        atol: the same in units of normalised data, above 0.
    """

    rtol: float = 1e-3
    atol: float = 1e-3

    def step(self, state: SamplerState, predictor: Predictor, conditions: Conditions, key: Key) -> SamplerState:
        """All steps to the next node; draws nothing.

        Raises:
            RunError: a sample needs steps too small or too many.
            ValueError: several samples share a row.
        """
        start, end = state.times[state.index], state.times[state.index + 1]
        walk: _Walk | None = state.memory
        if walk is None or walk.x is not state.x:  # somebody has moved the samples: what is known of them is stale
            walk = self._begin(state, start, end, predictor, conditions)
        for trial in range(_MOST_TRIALS + 1):
            index = (walk.t != end).nonzero()[:, 0]
            if not len(index):
                break
            rows = walk.rows(index)
            self._check(trial, rows, key.numbers[index])
            walk = walk.put(index, self._trial(rows, end, of_rows(predictor, index), conditions.rows(index)))
        return replace(state, x=walk.x, index=state.index + 1, passes=walk.passes, memory=walk)

    def _begin(
        self, state: SamplerState, start: Tensor, end: Tensor, predictor: Predictor, conditions: Conditions
    ) -> _Walk:
        """The first slope, and a first step of about the right size at the cost of one more."""
        x, span = state.x, (end - start).abs().item()
        t = start.to(torch.float64).to(x.values.device).expand(x.samples)
        here = evaluate(x, t, predictor, conditions)
        scale = self.atol + self.rtol * x.values.abs()
        height, slope = _size(x, x.values / scale), _size(x, here.velocity / scale)
        trial = (0.01 * height / slope).nan_to_num(span, span).clamp(1e-4 * span, span)
        t_trial = t + trial * (end - start).sign()
        there = evaluate(advanced(x, t, t_trial, (1.0,), (here.velocity,)), t_trial, predictor, conditions)
        bend = _size(x, (there.velocity - here.velocity) / scale) / trial
        sizes = (0.01 / torch.maximum(slope, bend)) ** 0.2
        sizes = torch.minimum(sizes.nan_to_num(span, span), 100.0 * trial).clamp(max=span)
        passes = torch.zeros(x.samples, dtype=torch.int64, device=t.device) + state.passes + here.passes + there.passes
        return _Walk(x, t, sizes, here.velocity, passes)

    def _trial(self, walk: _Walk, end: Tensor, predictor: Predictor, conditions: Conditions) -> _Walk:
        """One step of each sample, taken where its error is small enough."""
        left = end - walk.t
        last = walk.sizes >= left.abs()
        t = torch.where(last, end, walk.t + walk.sizes * left.sign())
        found, cost = slopes(DORMAND_PRINCE, walk.x, walk.t, t, predictor, conditions, walk.slope)
        there = advanced(walk.x, walk.t, t, DORMAND_PRINCE.weights, found).values
        error = advanced(walk.x, walk.t, t, _ERROR, found).values - walk.x.values
        scale = self.atol + self.rtol * torch.maximum(walk.x.values.abs(), there.abs())
        size = _size(walk.x, error / scale).nan_to_num(torch.inf)
        good = size <= 1.0
        sizes = (t - walk.t).abs() * (0.9 * size ** (-0.2)).clamp(0.2, 5.0)
        # A step cut short at a node says little of how long the next may be.
        sizes = torch.where(good & last, torch.maximum(sizes, walk.sizes), sizes)
        taken = walk.x.expand(good)
        return _Walk(
            walk.x.with_values(torch.where(taken, there, walk.x.values)),
            torch.where(good, t, walk.t),
            sizes,
            torch.where(taken, found[-1], walk.slope),
            walk.passes + cost,
        )

    def _check(self, trial: int, walk: _Walk, numbers: Tensor) -> None:
        smallest = int(walk.sizes.argmin())
        if trial < _MOST_TRIALS and walk.sizes[smallest] > _SMALLEST_STEP:
            return
        why = f"more than {_MOST_TRIALS:,} steps" if trial == _MOST_TRIALS else f"steps below {_SMALLEST_STEP:g}"
        raise RunError(
            f"sampler dopri5: sample {int(numbers[smallest])} needs {why} at t = {walk.t[smallest]:g} to keep "
            f"within rtol {self.rtol:g} and atol {self.atol:g}; allow more with rtol and atol, or use sampler heun"
        )


def _size(x: Tokens, values: Tensor) -> Tensor:
    """(N,) float64 root of the mean square over each sample's data.

    Rounded to float32, so that a sum taken in another order, as in a batch of another size, gives the same steps.
    """
    return x.sample_mean(values.double().square()).sqrt().float().double()
