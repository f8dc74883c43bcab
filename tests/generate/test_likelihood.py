"""Likelihoods of native samples: units, levels, batches, refusals. The walk itself is proved in samplers."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from beeline.core.conditions import Conditions
from beeline.core.data import Example
from beeline.core.errors import UserError
from beeline.core.prediction import Prediction
from beeline.core.protocols import Normaliser
from beeline.core.random import Key
from beeline.core.tokens import Tokens
from beeline.data.normalisers import Pixels, Range, Scale, Standardise
from beeline.generate.engine import Engine
from beeline.generate.likelihood import Native, _dequantised, check_likelihood, log_likelihood
from beeline.generate.load import load
from beeline.model.codec import Codec
from beeline.process.linear import Linear
from beeline.process.sources import Gaussian, ZeroMean
from beeline.samplers.config import SampleConfig
from beeline.samplers.likelihood import LikelihoodSettings
from beeline.samplers.mixture import MixturePredictor
from beeline.tokenizers.grid import GridTokenizer

Array = np.ndarray[Any, Any]


class Knowing:
    """Stands for a network that knows every number to be from the same 1-D mixture, by itself."""

    prediction = "velocity"

    def __init__(self, weights: Array, means: Array, deviation: float) -> None:
        self.process = Linear()
        weight, mean = (torch.from_numpy(each).double() for each in (weights, means[:, None]))
        covariances = torch.full((len(means), 1, 1), deviation**2, dtype=torch.float64)
        self.single = MixturePredictor(self.process, weight, mean, covariances)

    def __call__(self, x_t: Tokens, t: torch.Tensor, conditions: Conditions) -> Prediction:
        each = x_t.values.double().reshape(-1, 1, 1)
        times = t.double().repeat_interleave(x_t.values[0].numel())
        velocity = self.single(Tokens(each), times, Conditions()).velocity
        return Prediction(self.process, x_t, t, velocity.view_as(x_t.values).to(x_t.values), "velocity")


def engine(normaliser: Normaliser, network: Any, shape: tuple[int, ...]) -> Engine:
    """An engine over (cells, channels) arrays whose predictor is known."""
    codec = Codec(normaliser, GridTokenizer((1,), shape[-1]), (), (((shape[0],), 1),), (shape[0],))
    known = SimpleNamespace(
        codec=codec, network=network, process=network.process, source=Gaussian(), origin={}, device=torch.device("cpu"),
        defaults=SampleConfig(),
    )  # fmt: skip
    return cast(Engine, known)


def test_even_levels_cost_eight_bits() -> None:
    """A model of 256 even levels, seen away from its ends: log2 256 a number."""
    levels = np.arange(256)
    network = Knowing(np.full(256, 1 / 256), levels / 127.5 - 1, 1 / 127.5)
    examples = [Example(np.array([[level], [255 - level]], dtype=np.uint8)) for level in range(20, 128, 27)]
    found = log_likelihood(engine(Pixels(), network, (2, 1)), examples, settings=LikelihoodSettings(steps=40))
    assert np.abs(found.bits - 8).max() < 2e-3
    assert np.allclose(found.nats, -16 * math.log(2), atol=4e-3)
    assert (found.numbers == 2).all()
    assert found.provenance["dequantised"] is True


def test_bits_of_a_known_distribution_over_levels_lie_just_above_its_entropy() -> None:
    """An upper bound in the mean over the levels; close where levels are fine."""
    weights, means, deviation = np.array([0.3, 0.7]), np.array([-0.4, 0.3]), 0.05
    edges = torch.from_numpy((np.arange(257) - 0.5) / 127.5 - 1)
    up_to = sum(
        weight * torch.distributions.Normal(mean, deviation).cdf(edges)
        for weight, mean in zip(weights, means, strict=True)
    )
    probability = cast(torch.Tensor, up_to).diff().numpy()
    seen = np.flatnonzero(probability > 1e-6)
    examples = [Example(np.array([[level]], dtype=np.uint8)) for level in seen]
    model = engine(Pixels(), Knowing(weights, means, deviation), (1, 1))
    found = log_likelihood(model, examples, draws=4, settings=LikelihoodSettings(steps=40))
    entropy = -(probability[seen] * np.log2(probability[seen])).sum()
    bits = (probability[seen] * found.bits).sum()
    error = math.sqrt(((probability[seen] * found.standard_error / math.log(2)) ** 2).sum())
    assert entropy == pytest.approx(5.5, abs=0.2)
    assert entropy - 4 * error < bits < entropy + 0.02
    assert 0 < error < 0.01


@pytest.mark.parametrize(
    ("normaliser", "units"),
    [
        (Standardise(mean=(3.0, -1.0), deviation=(2.0, 0.5)), (0.5, 2.0)),
        (Standardise(False, (1.0,), (4.0,)), (0.25, 0.25)),
        (Range(-1.0, 3.0), (0.5, 0.5)),
        (Scale(0.2, (1.0, 2.0)), (0.2, 0.2)),
        (Pixels(16), (2 / 65535, 2 / 65535)),
    ],
)
def test_native_units_are_those_of_the_normaliser(normaliser: Any, units: tuple[float, float]) -> None:
    """A step of one native unit is ``unit`` once normalised, and densities of floats are told in native units."""
    whole = isinstance(normaliser, Pixels)
    array = np.array([[100, 300], [200, 50]], dtype=np.uint16) if whole else np.array([[2.5, -0.6], [3.1, -1.2]])
    moved = array + np.ones(1, dtype=array.dtype)
    step = normaliser.apply(moved).astype(np.float64) - normaliser.apply(array)
    assert np.allclose(step, units, atol=1e-6)
    assert np.allclose(np.broadcast_to(normaliser.unit(), array.shape), units)
    model = engine(normaliser, Knowing(np.ones(1), np.array([0.1]), 0.7), (2, 2))
    found = log_likelihood(model, [Example(array)], settings=LikelihoodSettings(steps=30))
    normalised = torch.from_numpy(normaliser.apply(array)).double()
    wanted = torch.distributions.Normal(0.1, 0.7).log_prob(normalised).sum() + 2 * sum(map(math.log, units))
    assert found.nats[0] == pytest.approx(wanted.item(), abs=1e-3)
    assert found.bits[0] == pytest.approx(-wanted.item() / (4 * math.log(2)), abs=1e-3)
    assert found.provenance["dequantised"] is whole


def test_dequantisation_fills_the_cell_of_a_level_and_rounds_back() -> None:
    model = engine(Pixels(), Knowing(np.ones(1), np.zeros(1), 1.0), (50, 3))
    array = np.random.default_rng(0).integers(0, 256, (50, 3), dtype=np.uint8)
    native = Native.of(model, Example(array))
    key = Key.range(0, 0, 2)
    spread = _dequantised(model, [native, native], key).tokens.values
    moved = (spread - native.encoded.tokens.values) * 127.5
    assert moved.abs().max() < 0.5 + 1e-4
    assert moved.std().item() == pytest.approx(math.sqrt(1 / 12), rel=0.1)
    assert not torch.equal(spread[0], spread[1])
    inside = (array > 0) & (array < 255)
    assert np.array_equal(
        model.codec.decode(Tokens(spread[:1], layout=native.encoded.tokens.layout))[0][inside], array[inside]
    )
    floats = Native.of(engine(Range(), Knowing(np.ones(1), np.zeros(1), 1.0), (50, 3)), Example(array / 255.0))
    assert torch.equal(_dequantised(model, [floats, floats], key).tokens.values[:1], floats.encoded.tokens.values)


def test_an_item_is_the_same_in_any_batch(small_run: Path) -> None:
    model = load(small_run)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    held_out = model.modality.dataset("held_out")
    examples = [held_out[index] for index in range(5)]
    settings = LikelihoodSettings(steps=2, trace="hutchinson", probes=2)
    whole = log_likelihood(model, examples, settings=settings)
    parts = log_likelihood(model, examples, settings=settings, batch_size=2)
    last = log_likelihood(model, examples[4:], settings=settings, first=4)
    assert np.allclose(whole.nats, parts.nats, atol=2e-3, rtol=1e-5)
    assert last.nats[0] == pytest.approx(whole.nats[4], abs=2e-3, rel=1e-5)
    assert abs(log_likelihood(model, examples[4:], settings=settings).nats[0] - whole.nats[4]) > 0.1
    again = log_likelihood(model, examples, settings=settings, seed=1)
    assert np.abs(again.nats - whole.nats).min() > 1e-3
    assert whole.provenance["passes"] == 2 * 4 * 3
    assert whole.provenance["sha256"] == model.origin["sha256"]
    assert np.array_equal(model.log_likelihood(examples, 1, settings).nats, again.nats)


def test_what_has_no_likelihood_is_refused_before_any_work() -> None:
    model: Any = engine(Pixels(), Knowing(np.ones(1), np.zeros(1), 1.0), (2, 1))
    check_likelihood(model)
    with pytest.raises(UserError, match="cfg_scale 2: a guided walk has the density of guided samples"):
        check_likelihood(model, SampleConfig(cfg_scale=2.0))

    class Lossy(GridTokenizer):
        exact = False

    class Warping:
        pass

    for name, part, words in (
        ("source", ZeroMean(), "source gaussian"),
        ("codec", dataclasses.replace(model.codec, tokenizer=Lossy((1,), 1)), "lossy"),
        ("codec", dataclasses.replace(model.codec, normaliser=cast(Any, Warping())), r"Warping .* unit\(\)"),
    ):
        with pytest.raises(UserError, match=words):
            check_likelihood(cast(Engine, SimpleNamespace(**{**vars(model), name: part})))
    with pytest.raises(UserError, match="no example"):
        log_likelihood(model, [])
