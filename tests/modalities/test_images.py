"""The images modality as people meet it: folders in, settled options, training, samples."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import beeline
from beeline.core.config import build, plain
from beeline.core.data import Example, Examples
from beeline.core.errors import UserError
from beeline.core.offers import Augmented, Settling
from beeline.core.parts import describe_part, rebuild_part
from beeline.core.protocols import Modality
from beeline.data.normalisers import Pixels, Range
from beeline.data.splits import split_by_group
from beeline.modalities.images import Images
from beeline.model.codec import Codec
from tests.conftest import FAST
from tests.data.images import folder_of, pixels, save


def settled(path: Path, **options: Any) -> Images:
    return Images(path=str(path), **options).settle(64)[0]


def test_the_digits_are_as_ever() -> None:
    """Their weights and scores rest on these examples, in this order."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    training, held_out = split_by_group(range(1797), 0.2)
    for split, indices in (("train", training), ("held_out", held_out)):
        examples = Images().dataset(split)
        assert len(examples) == len(indices)
        for example, index in zip(examples, indices, strict=True):
            assert np.array_equal(example.array[..., 0], np.rint(digits.images[index] * (255 / 16)).astype(np.uint8))
            assert example.condition == {"label": digits.target[index]}
            assert example.group == index
    assert (Images().tokenizer().patch, Images().tokenizer().channels) == ((2, 2), 1)
    assert Images().normaliser() == Pixels(8)
    assert [metric.low for metric in Images().metrics()] == [0.95, 0.7, 0.9]


def test_a_settled_modality_chooses_nothing_more_and_reads_the_same(tmp_path: Path) -> None:
    folder_of(tmp_path, {"cat": 6, "dog": 6}, size=(20, 30))
    modality = Images(path=str(tmp_path))
    assert isinstance(modality, Settling)
    assert isinstance(modality, Augmented)
    assert isinstance(modality, Modality)
    for tokens in (4, 64):
        one, lines = modality.settle(tokens)
        assert "auto" not in plain(one).values()
        assert one.patch is not None
        assert lines[0] == f"found 12 images in 2 classes of 6 in {tmp_path}: all 20x30 pixels"
        assert lines[1] == "split: 9 training images, 3 held out (a share of 0.2 held out)"
        stored = build(Images, plain(one))
        assert stored == one
        assert stored.settle(10_000)[0] == one
        for split in ("train", "held_out"):
            pairs = list(zip(one.dataset(split), stored.dataset(split), strict=True))
            assert all(np.array_equal(left.array, right.array) for left, right in pairs)
        example = stored.dataset("train")[0]
        codec = Codec.fit(stored, stored.dataset("train"))
        (back,) = codec.decode(codec.encode(example).tokens)
        assert np.array_equal(back, example.array)


def test_relative_paths_are_settled_as_absolute_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder_of(tmp_path / "data", {"": 4})
    (tmp_path / "m.csv").write_text("file,label\n" + "".join(f"000{n}.png,{n % 2}\n" for n in range(4)))
    monkeypatch.chdir(tmp_path)
    one, _ = Images(path="data", labels="m.csv").settle(64)
    monkeypatch.chdir("/")
    assert len(build(Images, plain(one)).dataset("train")) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": ""}, "path: missing; say where the images are, --data.path FOLDER"),
        ({"size": "big"}, "size 'big': needs auto, a number of pixels, or rows x columns"),
        ({"size": 0}, "size '0': needs"),
        ({"size": "8x0"}, "size '8x0': needs"),
        ({"patch": 0}, "patch 0: must be at least 1"),
        ({"held_out": 1.0}, "held_out 1.0: must lie between 0 and 1"),
        ({"shift": -1}, "shift -1: must be at least 0"),
        ({"size": 8, "shift": 8}, "shift 8: must be smaller than the images, 8x8"),
        ({"bad_files": "leave_out"}, "bad_files leave_out: needs a folder of images"),
        ({"labels": "m.csv"}, "labels m.csv: needs a folder of images"),
    ],
)
def test_e31_options_that_would_be_ignored_or_make_no_sense_are_errors(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Images(**options)


def test_e31_options_that_do_not_fit_the_data_are_errors(tmp_path: Path) -> None:
    folder_of(tmp_path, {"train": 3, "test": 2})
    with pytest.raises(UserError, match=r"held_out 0\.3: the images are split already; leave it out"):
        Images(path=str(tmp_path), held_out=0.3).dataset("train")
    with pytest.raises(UserError, match="shift 8: must be smaller than the images, 8x8"):
        Images(path=str(tmp_path), shift=8).augmentation()
    with pytest.raises(UserError, match="shift 9: must be smaller"):
        Images(path=str(tmp_path), shift=9).settle(64)
    with pytest.raises(UserError, match=r"unknown key 'data\.sise'; did you mean 'data\.size'\?"):
        build(Images, {"sise": 8}, "data")


def test_classes_are_conditions_with_names(tmp_path: Path) -> None:
    folder_of(tmp_path / "two", {"cat": 3, "dog": 3})
    (label,) = settled(tmp_path / "two").conditions()
    kept = rebuild_part(describe_part(label), "")
    assert kept == label
    assert kept.parse("dog") == kept.parse("1") == 1
    assert settled(tmp_path / "two", labelled=False).conditions() == []
    flat = settled(folder_of(tmp_path / "flat", {"": 3}))
    assert flat.conditions() == []
    assert flat.labelled is False
    assert flat.dataset("train")[0].condition == {}


def test_shifts_are_told_and_flips_are_not(tmp_path: Path) -> None:
    folder_of(tmp_path, {"": 5})
    assert settled(tmp_path).augmentation() is None
    flips = settled(tmp_path, flip=True)
    assert flips.augmentation().ways == 2  # type: ignore[union-attr]
    assert flips.conditions() == []
    both = settled(tmp_path, flip=True, shift=1)
    varied = both.augmentation()
    assert varied is not None
    assert varied.ways == 32
    (told,) = both.conditions()
    assert told.name == varied.condition == "shift"
    assert told.has_null
    assert told.dropout == 0
    example = both.dataset("train")[0]
    codec = Codec.fit(both, both.dataset("train"))
    moved = Example(varied.rearrange(example.array, 31), {"shift": varied.label(31)})
    assert codec.encode(example).null == {"shift": True}
    assert codec.encode(moved).null == {"shift": False}
    assert codec.encode(moved).values["shift"].tolist() != [0.0, 0.0]  # type: ignore[union-attr]


def test_datasets_reach_another_process(tmp_path: Path) -> None:
    folder_of(tmp_path, {"cat": 3, "dog": 3})
    dataset = settled(tmp_path).dataset("train")
    again = pickle.loads(pickle.dumps(dataset))
    assert np.array_equal(again[1].array, dataset[1].array)
    assert again.name(1) == dataset.name(1)  # type: ignore[attr-defined]


def examples_of(kind: str, count: int = 24) -> Examples:
    random = np.random.default_rng(0)
    made: dict[str, Any] = {
        "grey": random.integers(0, 256, (count, 5, 6, 1)).astype(np.uint8),
        "rgb": random.integers(0, 256, (count, 5, 6, 3)).astype(np.uint8),
        "rgba": random.integers(0, 256, (count, 5, 6, 4)).astype(np.uint8),
        "deep": random.integers(0, 65536, (count, 5, 6, 1)).astype(np.uint16),
        "float": random.normal(size=(count, 5, 6, 3)).astype(np.float32),
    }
    return [Example(array, {"label": index % 2}) for index, array in enumerate(made[kind])]


@pytest.mark.parametrize("kind", ["grey", "rgb", "rgba", "deep", "float"])
def test_every_kind_of_pixel_is_shown_and_scored(kind: str, tmp_path: Path) -> None:
    examples = examples_of(kind)
    picture = Images().preview(examples[:4])
    assert np.asarray(picture.convert("RGB"))[8:-8].std() > 10
    folder_of(tmp_path, {"a": 2, "b": 2})
    for metric in settled(tmp_path).metrics():
        assert np.isfinite(metric.function(examples[:12], examples[12:18], examples[18:])), metric.name
        assert metric.passes(1e9), "no bound is known for images of every kind"
        assert "at most 2,000 images" in metric.formula


def test_pictures_are_as_bright_as_the_pixels() -> None:
    for array in (
        np.full((8, 8, 1), 128 * 257, np.uint16), np.full((8, 8, 3), 128 / 255), np.full((8, 8, 1), 128, np.uint8),
        np.full((8, 8, 4), (1, 1, 1, 127), np.uint8),
    ):  # fmt: skip
        picture = np.asarray(Images().preview([Example(array)]))
        assert abs(int(picture[20, 20, 0]) - 128) <= 1


def test_tiny_sets_are_scored_and_what_has_nothing_to_compare_with_is_no_number() -> None:
    """One image a class varies by nothing, and a held-out copy of a training image lies at no distance."""
    examples = examples_of("rgb", 5)

    def scores(held_out: Examples) -> dict[str, float]:
        return {each.name: each.function(examples[:2], held_out, examples[2:4]) for each in Images().metrics()}

    copy, unseen = scores(examples[:1]), scores(examples[4:])
    assert copy["label agreement"] in (0.0, 0.5, 1.0)
    assert np.isnan([copy["variance ratio"], copy["nearest distance ratio"]]).all()
    assert 0.5 < unseen["nearest distance ratio"] < 2


def test_reference_sets_are_capped_with_every_class_in_them() -> None:
    from beeline.metrics.references import pixels_and_labels

    examples = [Example(np.full((1, 1, 1), index % 256, np.uint8), {"label": int(index < 2)}) for index in range(5000)]
    rows, labels = pixels_and_labels(examples)
    assert len(rows) == len(labels) <= 2000
    assert 1 in labels
    assert abs(len(rows) - 2000) < 5


def test_floats_are_mapped_by_their_measured_range() -> None:
    arrays = [np.array([[[-3.0], [5.0]]]), np.array([[[np.nan], [1.0]]])]
    fitted = rebuild_part(describe_part(Range().fit(arrays)), "")
    assert fitted == Range(-3.0, 5.0)
    assert fitted.apply(arrays[0]).ravel().tolist() == [-1.0, 1.0]
    assert fitted.apply(arrays[0]).dtype == np.float32
    np.testing.assert_allclose(fitted.undo(fitted.apply(np.array([-3.0, 0.1, 7.0]))), [-3, 0.1, 7], rtol=1e-6)
    with pytest.raises(UserError, match="one and the same number everywhere"):
        Range().fit([np.ones((2, 2, 1))])


def test_sixteen_bits_come_back_to_the_last_one() -> None:
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    scaled = Pixels(16).apply(every)
    assert (scaled.dtype, scaled.min(), scaled.max()) == (np.float32, -1.0, 1.0)
    assert np.array_equal(Pixels(16).undo(scaled), every)
    with pytest.raises(UserError, match=r"Pixels are 16-bit \(uint16\), not uint8"):
        Pixels(16).apply(every.astype(np.uint8))
    with pytest.raises(UserError, match="8 or 16 bits, not 12"):
        Pixels(12)


def test_a_recipe_without_a_path_says_so(tmp_path: Path) -> None:
    for recipe in ("fashion", "idx", "colour32"):
        with pytest.raises(UserError, match=r"path: missing; say where the images are, --data\.path FOLDER"):
            beeline.train(recipe, tmp_path / recipe)


OPTIONS: dict[str, Any] = {**FAST, "train.steps": 2, "train.score_samples": 4, "train.batch_size": 4, "sample.steps": 1}


def test_a_hostile_folder_trains_once_its_bad_files_are_left_out(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "my bilder ä", {"große Katzen": 9, "ape": 5}, size=(8, 12))
    (folder / "ape" / "text.png").write_text("text")
    (folder / "ape" / "leer.png").write_bytes(b"")
    Image.fromarray(pixels(8, 8, 1)[..., 0].astype(np.uint16) * 200).save(folder / "ape" / "deep.png")
    save(folder / "ape" / "pano.png", pixels(20, 2000))
    (folder / "ape" / "loop").symlink_to(folder)
    options = {**OPTIONS, "data.path": str(folder), "data.size": 8, "data.shift": 1, "data.flip": True}
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("modality: images\n")
    with pytest.raises(
        UserError, match=r"2 of 18 files cannot be used: 'ape/leer\.png' is empty, 'ape/text\.png' is no"
    ):
        beeline.train(str(recipe), tmp_path / "run", options=options)
    run = beeline.train(str(recipe), tmp_path / "run", options={**options, "data.bad_files": "leave_out"})
    model = beeline.load(run)
    array = model.sample(2, condition={"label": "große Katzen"})
    assert isinstance(array, np.ndarray)
    assert (array.shape, array.dtype) == ((2, 8, 8, 3), np.uint8)
    with pytest.raises(UserError, match="unknown label 'grose Katzen'; did you mean 'große Katzen'"):
        model.sample(2, condition={"label": "grose Katzen"})


def test_sixteen_bits_train_and_come_back_as_sixteen(tmp_path: Path) -> None:
    for number in range(12):
        deep = pixels(8, 8, 1, number)[..., 0].astype(np.uint16) * 250
        (tmp_path / "d").mkdir(exist_ok=True)
        Image.fromarray(deep).save(tmp_path / "d" / f"{number}.png")
    (tmp_path / "mine.yaml").write_text("modality: images\n")
    options = {**OPTIONS, "data.path": str(tmp_path / "d")}
    run = beeline.train(str(tmp_path / "mine.yaml"), tmp_path / "run", options=options)
    array = beeline.load(run).sample(2)
    assert isinstance(array, np.ndarray)
    assert array.dtype == np.uint16
