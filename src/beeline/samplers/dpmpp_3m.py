"""DPM-Solver++ 3M: third order, one evaluation a step; follows the data that is expected.

    x <- (sigma'/sigma) x + alpha' (f0 D + f1 D1 + f2 D2)
    f0 = 1 - exp(-h),   f1 = 1 - f0 / h,   f2 = 1/2 - f1 / h              integrals of 1, u/h and (u/h)^2/2
    D1 = A + r0 / (r0 + r1) (A - B)                                        h times the slope of D
    D2 = 2 (A - B) / (r0 + r1)                                             h^2 times its bend
    A  = (D - D_1) / r0,   B = (D_1 - D_2) / r1,   r0 = h_1 / h,   r1 = h_2 / h

with D, D_1 and D_2 expected at the starts of this step and the two before it, h, h_1 and h_2 their lengths as in
multistep.py: the parabola through the three, integrated exactly. Source: Lu et al. 2022, "DPM-Solver++", proposition
4.1 with a parabola for D; public code leaves out the 2 of D2, which makes it second order (E43).

To reach third order the first steps must be good too. The second one of finite length is of second order (D2 = 0,
B = A); the first is taken twice, D1 being read off at its end, and what was seen there serves the next step, so that
it costs nothing more. A step from noise alone or to data alone, where log-SNR is infinite, keeps D as it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from torch import Tensor

from beeline.core.conditions import Conditions
from beeline.core.prediction import Prediction
from beeline.core.protocols import Predictor
from beeline.core.random import Key
from beeline.core.state import SamplerState
from beeline.samplers.multistep import Seen, Stride
from beeline.samplers.solve import Walker, evaluate


@dataclass(frozen=True)
class _Memory:
    """Nodes behind, and what is known of the one reached.

    Args:
        seen: at most two, the nearest first.
        here: prediction at the node reached, where there is one.
    """

    seen: tuple[Seen, ...] = ()
    here: Prediction | None = None


class DPMSolver3M(Walker):
    """Third-order multistep solver of the probability-flow ODE; needs three steps to be what it is."""

    def step(self, state: SamplerState, predictor: Predictor, conditions: Conditions, key: Key) -> SamplerState:
        """One step down the grid; draws nothing."""
        t, t_next = state.times[state.index], state.times[state.index + 1]
        memory: _Memory = state.memory or _Memory()
        here, passes, there = memory.here, state.passes, None
        if here is None:
            here = evaluate(state.x, t, predictor, conditions)
            passes = passes + here.passes
        stride = Stride.between(here.process, t, t_next)
        x0 = here.x0
        level, slope, bend = weights(stride.length)
        x = stride.kept * state.x.values + stride.alpha * level * x0
        if stride.is_finite and memory.seen:
            first, second = differences(x0, stride.length, memory.seen)
            x = x + stride.alpha * (slope * first + bend * second)
        elif stride.is_finite:
            there = evaluate(state.x.with_values(x), t_next, predictor, conditions)
            passes = passes + there.passes
            x = x + stride.alpha * slope * (there.x0 - x0)
        seen = (Seen(x0, stride.length), *memory.seen)[:2] if stride.is_finite else ()
        return replace(
            state, x=state.x.with_values(x), index=state.index + 1, passes=passes, memory=_Memory(seen, there)
        )


def weights(length: float) -> tuple[float, float, float]:
    """f0, f1 and f2 of a step of length h; 1, 0 and 0 where it is infinite, for D then is all there is.

    Args:
        length: h, above 0.
    """
    level = -math.expm1(-length)
    if math.isinf(length):
        return level, 0.0, 0.0
    slope = 1.0 - level / length
    return level, slope, 0.5 - slope / length


def differences(x0: Tensor, length: float, seen: tuple[Seen, ...]) -> tuple[Tensor, Tensor]:
    """D1 and D2, times the first and second power of h.

    Args:
        x0: D, data expected where the step starts.
        length: h of the step.
        seen: one or two nodes behind, the nearest first.
    """
    near = seen[0].length / length
    rise = (x0 - seen[0].x0) / near
    if len(seen) == 1:
        return rise, 0.0 * rise
    far = seen[1].length / length
    change = (rise - (seen[0].x0 - seen[1].x0) / far) / (near + far)
    return rise + near * change, 2.0 * change
