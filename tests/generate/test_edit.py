"""Edits by the engine: what they begin with, that items are their own, and what is refused before any walk."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from beeline.conditioning.label import ClassLabel
from beeline.conditioning.vector import Vector
from beeline.core.conditions import Conditions
from beeline.core.data import Example
from beeline.core.errors import UserError
from beeline.core.prediction import Prediction
from beeline.core.random import Key
from beeline.core.tokens import Tokens
from beeline.data.normalisers import Standardise
from beeline.data.transforms import FieldTransforms
from beeline.data.whitening import Whitening
from beeline.generate import edit, interpolate
from beeline.generate.config import EditConfig
from beeline.generate.editor import Editor
from beeline.generate.engine import Engine, Request, Samples
from beeline.generate.load import load
from beeline.modalities.waves import Waves
from beeline.model.codec import Codec
from beeline.model.starting import Starting
from beeline.objectives.config import ObjectiveConfig
from beeline.process.config import ProcessConfig
from beeline.process.linear import Linear
from beeline.process.sources import Gaussian
from beeline.samplers.config import SampleConfig
from beeline.samplers.mixture import MixturePredictor
from beeline.tokenizers.grid import GridTokenizer

COVARIANCE = torch.tensor([[1.0, 0.6], [0.6, 0.8]], dtype=torch.float64)
MEAN = torch.tensor([0.5, -0.5], dtype=torch.float64)


class Exact(nn.Module):
    """A network that says what is true of a Gaussian pair, whose mean a condition moves."""

    prediction, outputs, knows_places = "velocity", 1, True

    def __init__(self) -> None:
        super().__init__()
        self.process = Linear()
        self.here = nn.Parameter(torch.zeros(1))

    def forward(self, x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
        moved = conditions.values["by"].to(torch.float64) * ~conditions.null["by"][:, None]
        shift = (1 - t.to(torch.float64))[:, None] * moved
        one = MixturePredictor(self.process, torch.ones(1, dtype=torch.float64), MEAN[None], COVARIANCE[None])
        x = x_t.values.to(torch.float64) - shift[:, None]
        velocity = one(x_t.with_values(x), t.to(torch.float64), Conditions()).velocity - moved[:, None]
        return Prediction(self.process, x_t, t, velocity.to(x_t.values.dtype), "velocity")

    def check_extents(self, extents: tuple[int, ...]) -> None:
        """Any."""

    def unchanged(self, recorder: object = None) -> AbstractContextManager[None]:
        """Nothing is the same from pass to pass."""
        return nullcontext()


@pytest.fixture(scope="module")
def exact() -> Engine:
    tokenizer = GridTokenizer((1,), channels=2)
    by = Vector("by", 2, mean=(0.0, 0.0), deviation=(1.0, 1.0))
    codec = Codec(Standardise(mean=(0.0, 0.0), deviation=(1.0, 1.0)), tokenizer, (by,), forms=(((1,), 1),))
    start = Starting(codec, None, ProcessConfig(), ObjectiveConfig(), SampleConfig(steps=40), {})  # type: ignore[arg-type]
    return Engine(Exact(), start, Waves(), Linear(), Gaussian())  # type: ignore[arg-type]


def editor(engine: Engine, how: Any, settings: dict[str, Any] | None = None, **more: Any) -> Editor:
    kept = {name: more.pop(name) for name in ("seed", "batch_size") if name in more}
    return Editor(engine, EditConfig(how, **more), engine.settings(**(settings or {})), **kept)


def arrays(samples: Samples) -> np.ndarray[Any, Any]:
    return np.stack([each.array for each in samples.examples]).astype(np.float64)


def drawn(count: int) -> np.ndarray[Any, Any]:
    """Pairs of the distribution that the exact network knows, (count, 2)."""
    random = np.random.default_rng(0)
    return random.multivariate_normal(MEAN.numpy(), COVARIANCE.numpy(), size=count)


def examples(values: np.ndarray[Any, Any], **condition: Any) -> list[Example]:
    return [Example(row[None].astype(np.float32), condition) for row in values]


def test_another_condition_moves_the_data_as_it_moves_their_distribution(exact: Engine) -> None:
    """The same noise, under a mean that lies elsewhere: each item is moved by the difference of the means."""
    given = drawn(8)
    samples = edit.regenerated(editor(exact, "invert"), examples(given, by=[0.5, 0.0]), [{"by": [1.5, -2.0]}] * 8)
    np.testing.assert_allclose(arrays(samples)[:, 0] - given, np.tile([1.0, -2.0], (8, 1)), atol=2e-3)
    assert samples.provenance["passes"] == {"inversion": 160, "regeneration": 80}
    back = edit.regenerated(editor(exact, "invert"), examples(given, by=[0.5, 0.0]))
    assert back.provenance["passes"] == 160
    told = back.provenance["edit"]
    errors = np.sqrt(((arrays(back)[:, 0] - given) ** 2).mean(axis=1))
    np.testing.assert_allclose(told["cycle_error"], errors, atol=1e-6)
    assert told["how"] == "invert"
    assert errors.max() < 1e-3
    guided = edit.regenerated(editor(exact, "invert", {"cfg_scale": 2.0}), examples(given, by=[0.5, 0.0]))
    assert guided.provenance["passes"] == {"inversion": 160, "regeneration": 160}
    assert guided.provenance["edit"]["cycle_error"] == told["cycle_error"], "the way up is not guided"


def test_data_that_are_noised_and_cleaned_again_keep_their_distribution(exact: Engine) -> None:
    given, asked = drawn(2000), list[Any]()
    hook = exact.network.register_forward_pre_hook(lambda _, seen: asked.append(seen[:2]))
    samples = edit.renoised(editor(exact, "renoise", {"steps": 20}, strength=0.7), examples(given))
    hook.remove()
    noisy, t = asked[0]
    e = Gaussian().sample(noisy, Key.range(0, 0, len(noisy.values)).fold("start"))
    wanted = 0.3 * torch.from_numpy(given[: len(e), None]).to(e.dtype) + 0.7 * e
    torch.testing.assert_close(noisy.values, wanted)
    assert t.unique().tolist() == [pytest.approx(0.7)]
    made = arrays(samples)[:, 0]
    assert np.abs(made.mean(axis=0) - MEAN.numpy()).max() < 4 * (1 / 2000) ** 0.5
    assert np.abs(np.cov(made, rowvar=False) - COVARIANCE.numpy()).max() < 4 * (2 / 2000) ** 0.5
    told = samples.provenance
    assert (told["passes"], told["edit"]) == (28, {"how": "renoise", "strength": 0.7, "t": 0.7})

    def share_kept(strength: float) -> float:
        made = arrays(edit.renoised(editor(exact, "renoise", {"steps": 10}, strength=strength), examples(given[:500])))
        return float(np.corrcoef(made[:, 0, 0], given[:500, 0])[0, 1])

    kept = [share_kept(strength) for strength in (0.1, 0.5, 1.0)]
    assert kept[0] > 0.95 > kept[1] > 0.2 > abs(kept[2])


def test_what_is_known_is_kept_to_the_last_bit_and_the_rest_follows_it(exact: Engine) -> None:
    given = drawn(400)
    inputs = [Example(row[None], {}) for row in given]  # float64, of which float32 would lose bits
    known = [np.array([[False, True]])] * 400
    samples = edit.inpainted(editor(exact, "inpaint", {"steps": 10}, resample=5), inputs, known)
    made = arrays(samples)[:, 0]
    assert np.array_equal(made[:, 1], given[:, 1])
    slope = np.polyfit(given[:, 1], made[:, 0], 1)[0]
    assert 0.4 < slope < 0.8  # exact would be 0.6 / 0.8, of which five times each step reach about four fifths
    assert samples.provenance["passes"] == 10 * 5 * 2
    assert samples.provenance["edit"] == {"how": "inpaint", "resample": 5, "known": [0.5] * 400}


def test_a_strip_leads_from_one_input_to_the_other(exact: Engine) -> None:
    first, last = examples(drawn(2))
    one, other = Example(first.array, {"by": [0.0, 0.0]}), Example(last.array, {"by": [2.0, -2.0]})
    samples = interpolate.between(editor(exact, "interpolate", frames=5), one, other)
    made = arrays(samples)[:, 0]
    np.testing.assert_allclose(made[[0, -1]], np.stack([first.array[0], last.array[0]]), atol=1e-3)
    assert [each.condition["by"] for each in samples.examples] == [[2.0 * k / 4, -2.0 * k / 4] for k in range(5)]
    with pytest.raises(UserError, match=r"the two inputs, \(1, 2\) and \(3, 2\), differ in shape"):
        interpolate.between(editor(exact, "interpolate"), one, Example(np.zeros((3, 2), np.float32)))


def test_a_strip_between_seeds_has_their_own_samples_at_its_ends(exact: Engine) -> None:
    request = Request({"by": [1.0, 0.0]})
    samples = interpolate.between_seeds(
        editor(exact, "interpolate", seeds=(3, 8), frames=3, seed=5), request, request.condition
    )
    for end, seed in ((0, 3), (-1, 8)):
        own = exact.generate([request], seed).examples[0].array
        np.testing.assert_allclose(samples.examples[end].array, own, atol=1e-5)
    assert samples.provenance["edit"] == {"how": "interpolate", "frames": 3, "seeds": (3, 8)}


@pytest.fixture(scope="module")
def engine(small_run: Path) -> Engine:
    """Shaken, so that neighbours would matter if they could."""
    engine = load(small_run)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in engine.network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return engine


DIGITS = [Example(array) for array in np.random.default_rng(1).integers(0, 256, (5, 8, 8, 1), dtype=np.uint8)]
LEFT = np.arange(8)[None, :, None] < 4
MORE: dict[str, Any] = {"steps": 3, "sampler": "ddim", "eta": 1.0}
WAYS: dict[str, Callable[[Engine, Any], Samples]] = {
    "invert": lambda engine, more: edit.regenerated(editor(engine, "invert", **more), DIGITS, [{"label": 3}] * 5),
    "renoise": lambda engine, more: edit.renoised(editor(engine, "renoise", MORE, **more), DIGITS),
    "inpaint": lambda engine, more: edit.inpainted(editor(engine, "inpaint", MORE, **more), DIGITS, [LEFT] * 5),
    "interpolate": lambda engine, more: interpolate.between(editor(engine, "interpolate", **more), *DIGITS[:2]),
}


class _AsIs:
    """Before rounding to pixels, so that small differences show."""

    def __init__(self, normaliser: Any) -> None:
        self.apply = normaliser.apply

    def undo(self, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return array


@pytest.mark.parametrize("how", WAYS)
def test_an_item_is_the_same_in_any_batch_and_another_of_another_seed(
    engine: Engine, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    normaliser = engine.codec.normaliser
    object.__setattr__(engine.codec, "normaliser", _AsIs(normaliser))
    try:
        together, apart = (arrays(WAYS[how](engine, {"batch_size": size})) for size in (5, 2))
        other = arrays(WAYS[how](engine, {"seed": 1}))
    finally:
        object.__setattr__(engine.codec, "normaliser", normaliser)
    np.testing.assert_allclose(apart, together, rtol=0, atol=1e-5)
    moved = np.abs(other - together).max()
    assert moved > 0.1 if how in ("renoise", "inpaint") else moved < 1e-5, "nothing is drawn on the way to noise"
    assert np.abs(together[0] - together[1]).max() > 0.1


@pytest.mark.parametrize(
    ("how", "settings", "more", "message"),
    [
        ("invert", {"sampler": "ddpm"}, {}, "sampler ddpm: draws noise in every step, and invert needs a way"),
        ("interpolate", {"sampler": "ddim", "eta": 0.5}, {}, "sampler ddim with eta 0.5: draws noise"),
        ("inpaint", {"sampler": "dopri5"}, {}, "sampler dopri5: chooses steps of its own"),
        ("renoise", {}, {"strength": 0.0}, "strength 0: must be a time above 0 and at most 1"),
        ("renoise", {}, {"strength": 1.5}, "strength 1.5: must be a time above 0"),
        ("invert", {}, {"strength": 0.3}, "strength 0.3: belongs to renoise and means nothing to invert"),
        ("inpaint", {}, {"resample": 0}, "resample 0: must be at least 1"),
        ("interpolate", {}, {"frames": 1}, "frames 1: must be at least 2"),
    ],
)
def test_what_means_nothing_is_refused(
    exact: Engine, how: str, settings: dict[str, Any], more: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError) as caught:
        editor(exact, how, settings, **more)
    assert message in str(caught.value)


def test_paths_that_do_not_lead_to_noise_are_refused(exact: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact.process, "is_gaussian", False, raising=False)
    editor(exact, "invert")
    with pytest.raises(UserError, match="interpolate: the noise of this model is drawn from a population"):
        editor(exact, "interpolate")
    monkeypatch.setattr(exact.process, "known_end", "under", raising=False)
    for how in ("invert", "renoise", "inpaint", "interpolate"):
        with pytest.raises(UserError, match=f"{how}: this model's path leads from data to their condition 'under'"):
            editor(exact, how)


def test_cells_that_a_filter_mixed_are_not_kept_one_by_one(exact: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    whitened = Whitening(FieldTransforms(("zscore",)), 0.5, (False,))
    monkeypatch.setattr(exact, "codec", dataclasses.replace(exact.codec, normaliser=whitened))
    editor(exact, "renoise")
    with pytest.raises(UserError, match=r"inpaint: the data of this model are whitened \(whiten 0.5\)"):
        editor(exact, "inpaint")


def test_masks_that_leave_nothing_are_refused(engine: Engine) -> None:
    for mask, message in (
        (np.zeros((8, 8, 1), bool), "known: nothing of input 0 is known"),
        (np.ones((8, 8, 1), bool), "known: everything of input 0 is known"),
        (np.ones((4, 8, 1), bool), r"known: a mask of shape \(4, 8, 1\) for input 0, which has \(8, 8, 1\)"),
    ):
        with pytest.raises(UserError, match=message):
            edit.inpainted(editor(engine, "inpaint"), DIGITS[:1], [mask])


def test_labels_are_those_of_the_nearer_end(engine: Engine) -> None:
    assert isinstance(engine.codec.condition("label"), ClassLabel)
    first, last = Example(DIGITS[0].array, {"label": 1}), Example(DIGITS[1].array, {"label": 7})
    samples = interpolate.between(editor(engine, "interpolate", frames=4), first, last)
    assert [each.condition["label"] for each in samples.examples] == [1, 1, 7, 7]
