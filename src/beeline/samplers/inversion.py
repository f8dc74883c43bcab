"""From data to the noise that gives them: the probability-flow ODE walked up.

    dx/dt = v(x, t), integrated from t_min up to t_max with the data as the start

The flow is a bijection, so walking down again with the same condition gives the data back, up to the solver's error,
and walking down with another one gives what these data would be under it. Noise of data that the predictor knows
exactly is distributed as the prior, up to the solver's error too. Of a solver of even order the leading error of a step
is undone by the step back, so that the data come back at one order more: Heun's method at the third.

Where the grid stops short of t = 0 a walk down ends with x0 = E[x0 | x]; a walk up begins with the x that this would
take to the data, found by iterating

    x <- alpha x0 + sigma E[e | x],   first x = alpha x0

which shrinks errors by about sigma^2 / (sigma^2 + alpha^2 variance of the data) each time. The variance of the noise is
then too large by about sigma^2, as E[x0 | x] of samples has too small a one.

Sources: Song et al. 2021, "Score-based generative modeling through stochastic differential equations", section 4.3;
Su et al. 2023, "Dual diffusion implicit bridges", section 3.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from beeline.core.conditions import Conditions
from beeline.core.errors import UserError
from beeline.core.prediction import Passes
from beeline.core.protocols import Predictor, Process, Sampler
from beeline.core.random import Key
from beeline.core.state import SamplerState
from beeline.core.tokens import Tokens
from beeline.samplers.compatible import draws_noise
from beeline.samplers.config import SampleConfig
from beeline.samplers.solve import Interlude, evaluate, sample

# Solvers whose steps read the two times beside them and nothing else, so that they walk either way.
REVERSIBLE = ("euler", "heun", "midpoint", "rk4", "rk38", "ddim")
_ROUNDS = 3


def check_reversible(settings: SampleConfig, purpose: str, only_down: bool = False) -> None:
    """Refuse samplers whose samples do not follow from the noise at t_max alone, or that cannot walk up to it.

    Args:
        settings: of the walk.
        purpose: what asks for it, for the message.
        only_down: whether nothing walks up.

    Raises:
        UserError: the sampler is one of these.
    """
    draws = draws_noise(settings)
    if draws or (settings.sampler not in REVERSIBLE and not only_down):
        eta = f" with eta {settings.eta:g}" if settings.eta > 0 else ""
        why = "draws noise in every step" if draws else "has steps that lead down only"
        raise UserError(
            f"sampler {settings.sampler}{eta}: {why}, and {purpose} needs a way between data and noise that can be "
            "retraced; use heun"
        )


def invert(
    sampler: Sampler,
    predictor: Predictor,
    data: Tokens,
    times: torch.Tensor,
    conditions: Conditions,
    process: Process,
    after_step: Interlude | None = None,
) -> SamplerState:
    """Walk a grid from data up to noise.

    Args:
        sampler: a solver whose steps draw nothing and read only the two times beside them.
        predictor: says what is expected where the walk is.
        data: x0.
        times: (n + 1,) the descending nodes of the walk that this one undoes.
        conditions: of the data.
        process: the path.
        after_step: called with each state on the way.

    Returns:
        the state at ``times[0]``.

    Raises:
        UserError: the grid has a single level and no step between levels.
    """
    # A grid over discrete levels ends at t = 0, below the first level, where the network has never been.
    upwards = times[times >= process.t_min].flip(0)
    if len(upwards) < 2:
        raise UserError(f"steps {len(times) - 1}: too few to walk up from data to noise; take more")
    with torch.no_grad():
        x = data
        passes: Passes = 0
        if upwards[0] > 0:
            t = upwards[0]
            alpha, sigma = process.alpha(t).item(), process.sigma(t).item()
            x = data.with_values(alpha * data.values)
            for _ in range(_ROUNDS):
                here = evaluate(x, t, predictor, conditions)
                x = data.with_values(alpha * data.values + sigma * here.e)
                passes = passes + here.passes
        # Nothing is drawn on the way, so no key has a say; finishing is for walks that end at data.
        nobody = Key.range(0, 0, data.samples, data.values.device)
        end = sample(_Unfinished(sampler), predictor, x, upwards, conditions, nobody, after_step)
    return replace(end, passes=end.passes + passes)


class _Unfinished:
    """A solver whose walk ends where its grid ends."""

    def __init__(self, sampler: Sampler) -> None:
        self.initialise = sampler.initialise
        self.step = sampler.step

    def finish(self, state: SamplerState, predictor: Predictor, conditions: Conditions) -> SamplerState:
        """The state as it is."""
        return state
