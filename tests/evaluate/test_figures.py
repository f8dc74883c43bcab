"""Pictures of a report: what is shown, and that it is what it says."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from beeline.conditioning.label import ClassLabel
from beeline.core.data import Example
from beeline.data.normalisers import Pixels, Standardise
from beeline.data.pictures import image_grid
from beeline.evaluate.blocks import png_size
from beeline.evaluate.figures import neighbour_section, sample_section, small_picture, strip_section
from beeline.evaluate.gallery import asked_for, gallery
from beeline.evaluate.neighbours import find_neighbours
from beeline.evaluate.requests import requests_like
from beeline.generate.engine import Engine
from beeline.generate.load import load
from tests.evaluate.test_report import PIXEL


@pytest.fixture
def engine(small_run: Path) -> Engine:
    return load(small_run)


def named(engine: Engine, classes: int) -> Engine:
    """The engine with classes of names that no file system likes."""
    names = ("kind_0", *(f"kind/{index}" for index in range(classes - 1)))
    label = ClassLabel("label", classes, names=names)
    engine.codec = dataclasses.replace(engine.codec, conditions=(label,))
    return engine


def test_requests_borrow_conditions_and_forms_and_galleries_show_every_class(engine: Engine) -> None:
    held_out = engine.modality.dataset("held_out")
    borrowed = requests_like(held_out, len(held_out) + 2, engine)
    assert borrowed[0] == borrowed[len(held_out)]
    assert borrowed[3].condition == held_out[3].condition
    assert borrowed[3].form == (8, 8)
    pages, left_out = gallery(engine, held_out)
    assert left_out == 0
    assert [page.stem for page in pages] == [f"label-{label}" for label in range(10)]
    assert [page.caption for page in pages] == [f"label {label}" for label in range(10)]
    assert all(request.condition == {"label": 4} for request in pages[4].requests)
    assert len(pages[4].requests) == 16


def test_dozens_of_classes_get_fewer_samples_each_and_names_become_files(engine: Engine) -> None:
    held_out = engine.modality.dataset("held_out")
    pages, left_out = gallery(named(engine, 61), held_out)
    assert (len(pages), left_out) == (48, 13)
    assert pages[3].requests[0].condition == {"label": 3}
    assert {len(page.requests) for page in pages} == {4}
    pages, _ = gallery(named(engine, 2), held_out)
    assert [page.caption for page in pages] == ["kind_0", "kind/0"]
    assert len({page.stem for page in pages}) == 2
    assert not any("/" in page.stem for page in pages)
    large = [Example(np.zeros((1024, 1024, 3), np.uint8))] * 3
    assert {len(page.requests) for page in gallery(engine, large)[0]} == {4}


def test_more_than_a_dozen_classes_are_folded() -> None:
    page = sample_section({f"class {index}": PIXEL for index in range(15)}, PIXEL, 3).html()
    before, _, after = page.partition("<details>")
    assert before.count("<img") == 13
    assert "real, held out" in before
    assert after.count("<img") == 3
    assert "3 more classes are not shown" in after
    assert "<details" not in sample_section({f"class {index}": PIXEL for index in range(12)}, PIXEL).html()


def test_walks_are_of_several_classes_where_these_follow_one_another(engine: Engine) -> None:
    held_out = sorted(engine.modality.dataset("held_out"), key=lambda example: example.condition["label"])
    page = strip_section(engine, held_out).html()
    for label in (0, 3, 6):
        assert f'<th scope="row">label {label}</th>' in page


def test_samples_are_named_by_what_was_asked_for(engine: Engine) -> None:
    array = np.zeros((8, 8, 1), np.uint8)
    assert asked_for(engine, Example(array, {"label": 3}), "other") == "label 3"
    assert asked_for(engine, Example(array, {}), "other") == "other"
    named(engine, 3)
    for value in (1, "kind/0"):
        assert asked_for(engine, Example(array, {"label": value}), "other") == "kind/0"
    assert asked_for(engine, Example(array, {"label": 7}), "other") == "label 7"


def some(random: np.random.Generator, count: int) -> list[Example]:
    return [Example(random.integers(0, 256, (4, 4, 1)).astype(np.uint8)) for _ in range(count)]


def test_neighbours_are_the_nearest_and_their_distances_exact() -> None:
    random = np.random.default_rng(0)
    training, held_out, samples = some(random, 300), some(random, 20), some(random, 4)
    samples[2] = training[123]
    found = find_neighbours(Pixels(), training, held_out, samples)
    assert found is not None

    def all_distances(example: Example) -> Any:
        ours = Pixels().apply(example.array).astype(np.float64)
        return [np.sqrt(((ours - Pixels().apply(each.array)) ** 2).mean()) for each in training]

    for sample, example, distance in zip(samples, found.examples, found.distances, strict=True):
        assert example is training[int(np.argmin(all_distances(sample)))]
        assert distance == pytest.approx(min(all_distances(sample)))
    assert found.distances[2] == 0
    nearest = sorted(min(all_distances(each)) for each in held_out)
    assert found.typical == pytest.approx(nearest[(len(nearest) - 1) // 2])
    assert found.searched == 300


def test_neighbours_compare_numbers_that_both_have() -> None:
    nan = np.nan
    training = [Example(np.array(row)) for row in ([0.0, 0, 0, 0], [5, 5, nan, 1], [9, nan, nan, nan])]
    sample = Example(np.array([9.0, 4, 2, nan]))
    asis = Standardise(channels=False).fit(np.array([[-1.0] * 4, [1.0] * 4]))
    found = find_neighbours(asis, training, [], [sample])
    assert found is not None
    assert found.examples[0] is training[1], "the last shares one number with the sample: too few to call it near"
    assert found.distances[0] == pytest.approx(np.sqrt((4**2 + 1) / 2))
    assert found.typical is None


def test_neighbours_of_other_shapes_are_left_out(engine: Engine) -> None:
    random = np.random.default_rng(0)
    training, samples = some(random, 5), some(random, 2)
    odd = Example(np.zeros((4, 5, 1), np.uint8))
    assert find_neighbours(Pixels(), [*training, odd], training, samples) is None
    assert find_neighbours(Pixels(), training, [odd], samples) is None
    assert find_neighbours(Pixels(), training, training, [*samples, odd]) is None
    assert neighbour_section(engine, [*training, odd], training, samples).html() == ""
    assert "nearest in training" in neighbour_section(engine, training, training, samples).html()


def test_small_pictures_lose_their_margin_and_large_ones_their_size(engine: Engine) -> None:
    assert png_size(small_picture(engine.modality, Example(np.full((8, 8, 1), 9, np.uint8)))) == (64, 64)
    assert png_size(small_picture(engine.modality, Example(np.full((500, 250, 1), 9, np.uint8)))) == (120, 240)


def test_grids_have_nothing_between_images_and_keep_their_transparency() -> None:
    array = np.full((8, 8, 4), 200, np.uint8)
    array[..., 3] = 100
    sheet = image_grid([array])
    assert sheet.getpixel((0, 0)) == (0, 0, 0, 0)
    assert sheet.getpixel((5, 5)) == (200, 200, 200, 100)


def test_a_preview_that_takes_no_noise_costs_the_strip_and_nothing_else(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def preview(self: object, samples: object) -> Image.Image:
        raise ValueError("no logarithm of <0>")

    held_out = engine.modality.dataset("held_out")
    assert strip_section(engine, held_out).html().count("<img") == 15
    monkeypatch.setattr(type(engine.modality), "preview", preview)
    page = strip_section(engine, held_out).html()
    assert "Left out: preview() failed (ValueError: no logarithm of &lt;0&gt;)" in page
    assert "<img" not in page
