"""SDE-DPM-Solver++ 2M: draws noise in every step, one evaluation each.

    x <- (sigma'/sigma) exp(-h) x + alpha' (1 - exp(-2 h)) (D + (D - D_1) h / (2 h_1)) + sigma' sqrt(1 - exp(-2 h)) z

with D, D_1, h and h_1 as in dpmpp_2m.py. Source: Lu et al. 2022, "DPM-Solver++", SDE-DPM-Solver++(2M). Without D_1
it is the ancestral step of small variance; with it, of second order in law (proved on Gaussian data). A step that
leaves no noise draws none and gives D.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from beeline.core.conditions import Conditions
from beeline.core.protocols import Predictor, Source
from beeline.core.random import Key
from beeline.core.state import SamplerState
from beeline.samplers.multistep import Seen, Stride
from beeline.samplers.solve import Walker, evaluate


@dataclass(frozen=True)
class DPMSolver2MSDE(Walker):
    """Multistep solver of the SDE that undoes the noising.

    Args:
        source: where the noise of each step comes from.
    """

    source: Source

    def step(self, state: SamplerState, predictor: Predictor, conditions: Conditions, key: Key) -> SamplerState:
        """One step down the grid."""
        t, t_next = state.times[state.index], state.times[state.index + 1]
        here = evaluate(state.x, t, predictor, conditions)
        stride = Stride.between(here.process, t, t_next)
        x0, expected = here.x0, here.x0
        last: Seen | None = state.memory
        if last is not None and stride.is_finite:
            expected = x0 + 0.5 * stride.length / last.length * (x0 - last.x0)
        forgotten = -math.expm1(-2.0 * stride.length)
        x = stride.kept * math.exp(-stride.length) * state.x.values + stride.alpha * forgotten * expected
        if stride.sigma > 0:
            x = x + stride.sigma * forgotten**0.5 * self.source.sample(state.x, key)
        return replace(
            state,
            x=state.x.with_values(x),
            index=state.index + 1,
            passes=state.passes + here.passes,
            memory=Seen(x0, stride.length),
        )
