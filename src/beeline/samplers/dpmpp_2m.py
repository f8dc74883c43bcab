"""DPM-Solver++ 2M: second order, one evaluation a step; follows the data that is expected.

    x <- (sigma'/sigma) x - alpha' expm1(-h) (D + (D - D_1) h / (2 h_1))

with D the data expected at the start of the step, D_1 and h_1 those of the step before; h and D as in multistep.py.
Source: Lu et al. 2022, "DPM-Solver++", algorithm 2. The first step, and one from noise alone or to data alone, where
log-SNR is infinite, is of first order: D_1 is left out.
"""

from __future__ import annotations

import math
from dataclasses import replace

from beeline.core.conditions import Conditions
from beeline.core.protocols import Predictor
from beeline.core.random import Key
from beeline.core.state import SamplerState
from beeline.samplers.multistep import Seen, Stride
from beeline.samplers.solve import Walker, evaluate


class DPMSolver2M(Walker):
    """Second-order multistep solver of the probability-flow ODE."""

    def step(self, state: SamplerState, predictor: Predictor, conditions: Conditions, key: Key) -> SamplerState:
        """One step down the grid; draws nothing."""
        t, t_next = state.times[state.index], state.times[state.index + 1]
        here = evaluate(state.x, t, predictor, conditions)
        stride = Stride.between(here.process, t, t_next)
        x0, expected = here.x0, here.x0
        last: Seen | None = state.memory
        if last is not None and stride.is_finite:
            expected = x0 + 0.5 * stride.length / last.length * (x0 - last.x0)
        x = stride.kept * state.x.values - stride.alpha * math.expm1(-stride.length) * expected
        return replace(
            state,
            x=state.x.with_values(x),
            index=state.index + 1,
            passes=state.passes + here.passes,
            memory=Seen(x0, stride.length),
        )
