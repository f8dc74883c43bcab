"""No sampler minds how samples are batched: bit-identical draws, the same samples to 1e-5 in fp32."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from beeline.core.conditions import Conditions
from beeline.core.random import Key
from beeline.core.tokens import Tokens
from beeline.process.linear import Linear
from beeline.process.sources import Gaussian
from beeline.samplers.build import SAMPLERS, build_sampler
from beeline.samplers.compatible import draws_noise
from beeline.samplers.config import SampleConfig
from beeline.samplers.grids import build_grid
from beeline.samplers.mixture import MixturePredictor
from beeline.samplers.solve import sample
from tests.samplers.exact import mixture


@dataclass(frozen=True)
class Watched:
    """A source that remembers its draws."""

    drawn: list[Tensor] = field(default_factory=list)

    def sample(self, like: Tokens, key: Key) -> Tensor:
        self.drawn.append(Gaussian().sample(like, key))
        return self.drawn[-1]


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "one_pass"])  # which knows no seed
def test_an_item_is_the_same_in_any_batch(sampler: Any) -> None:
    settings = SampleConfig(sampler, eta=0.7 if sampler == "ddim" else 0.0)
    exact = mixture(Linear(), 6)
    predictor = MixturePredictor(Linear(), *(each.float() for each in (exact.weights, exact.means, exact.covariances)))
    times = build_grid("uniform", 1 if sampler == "dopri5" else 6, (0.0, 1.0))

    def drawn(first: int, count: int, seed: int = 3) -> tuple[Tensor, list[Tensor], Any]:
        key, source = Key.range(seed, first, count), Watched()
        start = Linear().prior(Tokens(torch.zeros(count, 3, 2)), Gaussian(), key.fold("start"), 1.0)
        state = sample(build_sampler(settings, source), predictor, start, times, Conditions(), key)
        return state.x.values, source.drawn, state.passes

    together, noise, passes = drawn(0, 7)
    for first, count in ((4, 1), (2, 3)):
        alone, its_noise, its_passes = drawn(first, count)
        torch.testing.assert_close(alone, together[first : first + count], rtol=0, atol=1e-5)
        assert all(torch.equal(a, b[first : first + count]) for a, b in zip(its_noise, noise, strict=True))
        if sampler == "dopri5":
            assert torch.equal(its_passes, passes[first : first + count])
    assert bool(noise) == draws_noise(settings)
    assert len({each.sum().item() for each in noise}) == len(noise), "every step draws from a stream of its own"
    assert (drawn(0, 7, seed=4)[0] - together).abs().max() > 0.1
