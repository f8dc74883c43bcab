"""Losses of single numbers, weights of channels, and numbers that were not observed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from beeline.core.batching import collate, pack
from beeline.core.conditions import Conditions
from beeline.core.data import Batch, Example
from beeline.core.errors import UserError
from beeline.core.prediction import Prediction
from beeline.core.protocols import Array
from beeline.core.random import Key
from beeline.core.tokens import Tokens
from beeline.data.normalisers import Standardise
from beeline.model.build import build_objective
from beeline.model.codec import Codec
from beeline.model.codec_checks import check_example
from beeline.objectives.config import ObjectiveConfig
from beeline.objectives.flow import Flow
from beeline.objectives.losses import penalty
from beeline.process.linear import Linear
from beeline.process.sources import Gaussian
from beeline.tokenizers.grid import GridTokenizer
from beeline.tokenizers.sets import SetTokenizer

IMAGES = Codec(Standardise(mean=(0.0, 0.0), deviation=(1.0, 1.0)), GridTokenizer((2, 2), 2), (), (((5, 4), 1),), (3, 2))


@dataclass
class Wrong:
    """A predictor of the velocity that is wrong by a given number everywhere, and has a gradient."""

    error: Tensor
    key: Key
    data: Tokens

    def __call__(self, x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
        noise = Gaussian().sample(x_t, self.key.fold("noise"))
        return Prediction(Linear(), x_t, t, noise - self.data.values + self.error, "velocity")


def images(count: int = 3) -> Batch:
    random = np.random.default_rng(0)
    return IMAGES.batch([IMAGES.encode(Example(random.normal(size=(5, 4, 2)))) for _ in range(count)])


def loss(config: ObjectiveConfig, error: Tensor | float, batch: Batch, codec: Codec = IMAGES) -> Tensor:
    key = Key.range(0, 0, batch.tokens.samples)
    objective = build_objective(config, Linear(), Gaussian(), codec)
    return objective(Wrong(torch.as_tensor(error), key, batch.tokens), batch, key)


def test_penalties_are_their_formulas() -> None:
    error = torch.tensor([-3.0, -0.5, 0.0, 0.2, 2.0], dtype=torch.float64)
    torch.testing.assert_close(penalty(error, "mse", 1.0), error**2)
    torch.testing.assert_close(penalty(error, "l1", 1.0), error.abs())
    outside = [0.5 * (2 * size - 0.5) for size in (3.0, 2.0)]
    torch.testing.assert_close(penalty(error, "huber", 0.5), error.new_tensor([outside[0], 0.25, 0, 0.04, outside[1]]))
    assert torch.equal(penalty(error, "huber", 1e3), error**2)
    with pytest.raises(UserError, match=r"objective.loss vlb: is no error of single numbers"):
        penalty(error, "vlb", 1.0)


@pytest.mark.parametrize(("name", "expected"), [("mse", 4.0), ("l1", 2.0), ("huber", 0.5 * (4.0 - 0.5))])
def test_every_loss_is_one_value_a_sample(name: Any, expected: float) -> None:
    delta = {"huber_delta": 0.5} if name == "huber" else {}
    found = loss(ObjectiveConfig(loss=name, **delta), -2.0, images())  # type: ignore[arg-type]
    torch.testing.assert_close(found, torch.full((3,), expected))


def test_a_weight_in_time_scales_the_error_before_it_is_penalised() -> None:
    """l1 with weighting snr is the size of the error of the noise, whatever is predicted."""
    config = ObjectiveConfig("velocity", "snr", loss="l1")
    t = Flow(config, Linear(), Gaussian()).times(Key.range(0, 0, 3))
    torch.testing.assert_close(loss(config, 0.3, images()), 0.3 * (1 - t))


def test_channel_weights_count_channels_and_have_mean_one() -> None:
    batch = images()
    error = torch.zeros_like(batch.tokens.values)
    error[..., 1::2] = 3.0  # channel last in every patch: the second channel of each cell
    for weights, factor in (((1.0, 1.0), 1.0), ((5.0, 5.0), 1.0), ((1.0, 3.0), 1.5), ((1.0, 0.0), 0.0)):
        found = loss(ObjectiveConfig(channel_weights=weights), error, batch)
        torch.testing.assert_close(found, torch.full((3,), factor * 9.0 / 2), msg=str(weights))
    with pytest.raises(UserError, match=r"objective.channel_weights: 3 are given and the data have 2 channels"):
        loss(ObjectiveConfig(channel_weights=(1.0, 1.0, 1.0)), error, batch)
    sets = replace(IMAGES, tokenizer=SetTokenizer(4), forms=(((0, 1), 1),))
    with pytest.raises(UserError, match="no channels: they are a set"):
        loss(ObjectiveConfig(channel_weights=(1.0,)), error, batch, sets)


@pytest.mark.parametrize("join", [collate, pack])
def test_what_was_not_observed_counts_nowhere(join: Any) -> None:
    random = np.random.default_rng(1)
    observed = random.random((4, 5, 4, 2)) < 0.5
    observed[3] = False
    arrays = random.normal(size=(4, 5, 4, 2))
    samples = [IMAGES.encode(Example(a, observed=o)) for a, o in zip(arrays, observed, strict=True)]
    other = [IMAGES.encode(Example(np.where(o, a, np.nan), observed=o)) for a, o in zip(arrays, observed, strict=True)]
    batch = Batch(join([each.tokens for each in samples]), Conditions())
    assert torch.equal(join([each.tokens for each in other]).values, batch.tokens.values), "their values count nowhere"
    errors = random.normal(size=(4, 5, 4, 2)).astype(np.float32)
    lifted = [
        each.tokens.with_values(IMAGES.tokenizer.lift(torch.from_numpy(e)))
        for each, e in zip(samples, errors, strict=True)
    ]
    error = join(lifted).values.requires_grad_()
    found = loss(ObjectiveConfig(), error, batch)
    counts = observed.sum(axis=(1, 2, 3)).clip(min=1)
    expected = (errors**2 * observed).sum(axis=(1, 2, 3)) / counts
    torch.testing.assert_close(found, torch.from_numpy(expected).float())
    assert found[3] == 0
    (gradient,) = torch.autograd.grad(found.sum(), error)
    assert batch.tokens.observed is not None
    assert torch.equal(gradient != 0, batch.tokens.observed & (error != 0))


def test_a_sample_without_a_mask_counts_whole_beside_one_with() -> None:
    whole, part = (Example(np.ones((5, 4, 2)), observed=o) for o in (None, np.eye(5, 4, dtype=bool)))
    batch = IMAGES.batch([IMAGES.encode(whole), IMAGES.encode(part)])
    assert batch.tokens.observed is not None
    assert batch.tokens.only_data(batch.tokens.observed.float()).sum(dim=(1, 2)).tolist() == [40.0, 8.0]
    moved = batch.tokens.doubled().rows(torch.tensor([1, 2]))
    assert moved.observed is not None
    assert torch.equal(moved.observed, batch.tokens.observed[[1, 0]])


@pytest.mark.parametrize("observed", [np.ones((5, 4, 1), bool), np.ones((5, 4, 2)), np.ones((4, 5), bool)])
def test_masks_that_are_not_aligned_are_refused(observed: Any) -> None:
    with pytest.raises(UserError, match=r"observed: an array of .* it needs booleans of that shape"):
        check_example(Example(np.ones((5, 4, 2)), observed=observed))


@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_what_was_not_observed_counts_in_no_fit(kind: type) -> None:
    random = np.random.default_rng(2)
    arrays: Array = random.integers(0, 9, size=(6, 5, 4, 2)).astype(kind)
    observed = random.random((6, 5, 4, 2)) < 0.5
    codecs = []
    for hidden in (arrays, np.where(observed, arrays, np.array(999, kind))):
        modality: Any = SimpleNamespace(normaliser=Standardise, tokenizer=lambda: IMAGES.tokenizer, conditions=list)
        codecs.append(Codec.fit(modality, [Example(a, observed=o) for a, o in zip(hidden, observed, strict=True)]))
    assert codecs[0].normaliser == codecs[1].normaliser
    assert codecs[0].normaliser.mean[0] == pytest.approx(arrays[..., 0][observed[..., 0]].mean())  # type: ignore[attr-defined]
