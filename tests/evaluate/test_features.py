"""Sets that are read once, baselines that know the marginals alone, and feature spaces that say what they are."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beeline.conditioning.label import ClassLabel
from beeline.core.data import Deferred, Example
from beeline.evaluate import sets as sets_module
from beeline.evaluate.classifier import kept_or_trained, read_recipe, train_classifier
from beeline.evaluate.features import _labelled, build_spaces
from beeline.evaluate.floors import floors
from beeline.evaluate.sets import classes_of, fingerprint, read_sets, spread

LABEL = ClassLabel("label", classes=2)


def images(count: int, seed: int = 0, size: int = 6) -> list[Example]:
    """Class 0 is bright on the left, class 1 on the right."""
    random = np.random.default_rng(seed)
    found = []
    for index in range(count):
        pixels = random.integers(0, 60, (size, size, 1))
        half = slice(0, size // 2) if index % 2 == 0 else slice(size // 2, size)
        pixels[:, half] += 150
        found.append(Example(pixels.astype(np.uint8), {"label": index % 2}))
    return found


class Counting(Deferred):
    """Examples on demand that count how often each is read."""

    def __init__(self, examples: list[Example]) -> None:
        self.examples, self.reads = examples, Counter[int]()

    def __len__(self) -> int:
        return len(self.examples)

    def read(self, index: int) -> Example:
        self.reads[index] += 1
        return self.examples[index]

    def condition(self, index: int) -> Mapping[str, Any]:
        return self.examples[index].condition

    def group(self, index: int) -> Hashable:
        return None

    def name(self, index: int) -> str:
        return str(index)


def test_examples_are_read_evenly_up_to_their_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sets_module, "TRAINING_CAP", 30)
    monkeypatch.setattr(sets_module, "USED_CAP", 10)
    training, held_out = Counting(images(100)), Counting(images(20, 1))
    sets = read_sets(training, held_out)
    assert (len(sets.training), len(sets.used), len(sets.held_out)) == (25, 9, 20)
    assert sets.counts == {
        "reference": "held out", "train": 100, "train_read": 25, "train_cap": 30, "train_used": 9,
        "held_out": 20, "held_out_read": 20, "held_out_cap": 10000,
    }  # fmt: skip
    assert max((training.reads - Counter({0: 1})).values()) == 1, "the first alone is looked at before"
    assert spread(100, 4).tolist() == [0, 25, 50, 75]
    assert spread(3, 9).tolist() == [0, 1, 2]


def test_a_fingerprint_knows_every_number_and_every_label() -> None:
    examples = images(4)
    other = [dataclasses.replace(examples[0], condition={"label": 1}), *examples[1:]]
    brighter = [Example(examples[0].array + np.uint8(1), examples[0].condition), *examples[1:]]
    assert len({fingerprint(each) for each in (examples, other, brighter, examples[::-1])}) == 4
    assert fingerprint(images(4)) == fingerprint(examples)


def test_classes_are_found_whatever_type_their_labels_have() -> None:
    values = [0, np.int64(1), None, True * 1]
    found = classes_of([Example(np.zeros(1), {"label": value}) for value in values], LABEL)
    assert found.tolist() == [0, 1, -1, 1]
    assert classes_of([Example(np.zeros(1))], None).tolist() == [-1]


def test_baselines_know_means_and_histograms_of_a_class_and_nothing_else() -> None:
    training = images(400)
    asked = [Example(training[0].array, {"label": 1}) for _ in range(500)]
    low = floors(training, asked, LABEL, seed=3)
    real = np.stack([each.array for each in training if each.condition["label"] == 1]).astype(float)
    means, resampled = (np.stack([each.array for each in low[name]]) for name in ("class means", "resampled values"))
    assert means.dtype == np.uint8
    assert (means == np.rint(real.mean(0))).all()
    assert np.isin(resampled, real).all()
    assert np.abs(resampled.mean(0) - real.mean(0)).max() < 5
    assert resampled.std(0).mean() == pytest.approx(real.std(0).mean(), rel=0.05)
    correlation = np.corrcoef(resampled.reshape(500, -1), rowvar=False)
    assert np.abs(correlation - np.eye(36)).max() < 0.25
    again = floors(training, asked[:7], LABEL, seed=3)["resampled values"]
    assert all((one.array == other.array).all() for one, other in zip(again, low["resampled values"], strict=False))
    assert floors([training[0], Example(np.zeros((2, 2, 1)))], asked, LABEL, 0) == {}


def test_principal_components_keep_distances_of_data_that_lie_in_them(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    basis = random.normal(size=(5, 48))
    examples = [Example((random.normal(size=5) @ basis).reshape(4, 12)) for _ in range(60)]
    sets = read_sets(examples[:40], examples[40:])
    spaces, left_out = build_spaces(["pixels", "pca-32", "classifier-a"], sets, None, tmp_path)
    values, components = (space.embed(sets.held_out) for space in spaces)
    assert [space.name for space in spaces] == ["values", "pca-32"]
    assert components.shape == (20, 32)
    apart = [np.linalg.norm(each[1:] - each[:-1], axis=1) for each in (values, components)]
    assert apart[0] == pytest.approx(apart[1], rel=1e-4)
    assert left_out == {"classifier-a": "examples are no images of (height, width, channels)"}
    other, _ = build_spaces(["pca-32"], read_sets(examples[:39], examples[40:]), None, tmp_path)
    assert other[0].record["sha256"] != spaces[1].record["sha256"]


def test_spaces_that_data_do_not_allow_are_left_out_with_a_reason(tmp_path: Path) -> None:
    every = ["pixels", "pca-32", "classifier-a"]
    ragged = [*images(20), Example(np.zeros((3, 3, 1), np.uint8), {"label": 0})]
    for training, condition, reason in (
        (ragged, LABEL, "examples have 2 shapes"),
        ([Example(np.full((2, 2, 1), np.nan)) for _ in range(20)], None, "examples have missing numbers"),
        (images(9), LABEL, "needs at least 10 training and held-out examples"),
    ):
        spaces, left_out = build_spaces(every, read_sets(training, training[:10]), condition, tmp_path)
        assert spaces == []
        assert left_out == dict.fromkeys(every, reason)
    few, _ = images(60), None
    _, left_out = build_spaces(["classifier-a"], read_sets(few, few), LABEL, tmp_path)
    assert "a class has 15 images in this half of the training data, fewer than 20" in left_out["classifier-a"]
    _, left_out = build_spaces(["classifier-a"], read_sets(few, few), None, tmp_path)
    assert left_out["classifier-a"] == "examples have no classes"
    assert list(tmp_path.iterdir()) == []


def test_two_classifiers_learn_disjoint_halves_once_and_are_kept(tmp_path: Path) -> None:
    config = dataclasses.replace(read_recipe().a, steps=25)
    examples = images(80, size=8)
    pixels, labels = np.stack([each.array for each in examples]), np.arange(80) % 2
    unseen = np.stack([each.array for each in images(20, 1, size=8)]), np.arange(20) % 2
    home = tmp_path / "classifier-a"
    first = kept_or_trained(home, config, (pixels, labels), unseen, 2, "data")
    assert first.record["held_out_accuracy"] == 1.0
    stamp = home.with_suffix(".safetensors").stat().st_mtime_ns
    again = kept_or_trained(home, config, (pixels, labels), unseen, 2, "data")
    assert home.with_suffix(".safetensors").stat().st_mtime_ns == stamp
    assert (again.classifier.embed(pixels) == first.classifier.embed(pixels)).all()
    assert (train_classifier(config, pixels, labels, 2).embed(pixels) == first.classifier.embed(pixels)).all()
    other = dataclasses.replace(config, seed=9)
    for changed, data in ((config, "other data"), (other, "data")):
        kept_or_trained(home, changed, (pixels, labels), unseen, 2, data)
        assert home.with_suffix(".safetensors").stat().st_mtime_ns != stamp
        stamp = home.with_suffix(".safetensors").stat().st_mtime_ns
    home.with_suffix(".safetensors").write_bytes(b"torn")
    mended = kept_or_trained(home, other, (pixels, labels), unseen, 2, "data")
    assert mended.record["held_out_accuracy"] == 1.0


def test_the_recipes_classifiers_differ_in_seed_shape_and_features() -> None:
    recipe = read_recipe()
    assert (recipe.a.features, recipe.b.features) == (64, 48)
    assert recipe.a.seed != recipe.b.seed
    assert (recipe.a.widths, recipe.a.kernel) != (recipe.b.widths, recipe.b.kernel)


def test_the_halves_share_no_image_and_hold_every_class() -> None:
    examples = images(50)
    for number, example in enumerate(examples):
        example.array[0, 0, 0] = number
    sets = read_sets(examples, images(10, 1))
    halves = [_labelled(sets, LABEL, half, least=10)[0] for half in (0, 1)]
    names = [set(pixels[:, 0, 0, 0].tolist()) for pixels, _ in halves]
    assert not names[0] & names[1]
    assert names[0] | names[1] == set(range(50))
    assert all(set(labels.tolist()) == {0, 1} for _, labels in halves)


def test_a_channel_of_small_numbers_is_seen_beside_one_of_large_ones() -> None:
    random = np.random.default_rng(0)

    def fields(wind: float) -> list[Example]:
        made = random.normal(size=(60, 4, 4, 2)) * [1e5, 10.0] + [1e5, wind]
        return [Example(each.astype(np.float32)) for each in made]

    training, held_out = fields(0.0), fields(0.0)
    sets = read_sets(training, held_out)
    for space in build_spaces(["pixels", "pca-32"], sets, None, Path())[0]:
        right, wrong = (space.embed(each).mean(axis=0) for each in (fields(0.0), fields(50.0)))
        real = space.embed(held_out).mean(axis=0)
        assert np.linalg.norm(wrong - real) > 5 * np.linalg.norm(right - real), space.name
        assert "2 channels standardised by training moments" in space.record["note"]
