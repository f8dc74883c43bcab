"""The contract: our own modalities keep it, and each way to break it is told."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import beeline
from beeline.conditioning.label import ClassLabel
from beeline.conditioning.vector import Vector
from beeline.core.data import Example, Examples, Metric
from beeline.core.errors import UserError
from beeline.data.normalisers import Standardise
from beeline.data.pictures import Picture, curves
from beeline.evaluate.contract import CLAUSES, Verdict, hold
from beeline.evaluate.contract_metrics import _apart
from beeline.evaluate.contract_relation import dependence
from beeline.evaluate.contract_subject import Subject
from beeline.evaluate.floors import collapsed, noise
from beeline.modalities.loading import ModalitySource, built_in_modalities, find_modality
from beeline.tokenizers.grid import GridTokenizer
from tests.data.autoencoders import save_autoencoder
from tests.data.images import folder_of
from tests.train.helpers import command, finish

SAYS_WHERE = ("cells", "fields", "latents")  # kinds of data that have to be told where theirs lie


def kept(verdicts: Iterable[Verdict]) -> None:
    for verdict in verdicts:
        assert verdict.status != "failed", verdict.line()


@pytest.mark.parametrize("name", [name for name in built_in_modalities() if name not in SAYS_WHERE])
def test_our_own_kinds_of_data_keep_the_contract(name: str) -> None:
    verdicts = hold(Subject(find_modality(name), {}), quick=True).verdicts
    kept(verdicts)
    assert [each.clause for each in verdicts] == [clause.name for clause in CLAUSES]
    assert sum(each.status == "ok" for each in verdicts) >= 8


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in built_in_modalities() if name not in SAYS_WHERE])
def test_our_own_kinds_of_data_keep_the_clauses_that_train_too(name: str) -> None:
    overfits, conditions = hold(Subject(find_modality(name), {}), only=["overfits", "conditions"]).verdicts
    assert overfits.status == "ok", overfits.line()
    assert conditions.status == ("ok" if find_modality(name).make({}).conditions() else "skipped"), conditions.line()


@pytest.mark.slow
def test_latents_and_images_in_a_folder_keep_it_too(tmp_path: Path) -> None:
    images = folder_of(tmp_path / "images", {"cat": 40, "dog": 40}, (16, 16))
    vae = save_autoencoder(tmp_path / "vae")
    latents = beeline.encode(images, tmp_path / "latents", vae, size=16, device="cpu")
    left_out = ("related", "metrics")  # the pictures are noise, whatever they are said to show
    only = [clause.name for clause in CLAUSES if clause.name not in left_out]
    for folder in (images, latents):
        contract = beeline.check(folder, only=only)
        kept(contract.verdicts)
        assert contract.broken == ()


def fields_file(path: Path) -> Path:
    """Sixty-four fields that answer a map and two parameters, eight simulations; a fifth of the second copy is gaps."""
    random = np.random.default_rng(0)
    y, x = np.meshgrid(np.arange(8) / 8, np.arange(12) / 12, indexing="ij")
    height = np.stack([
        1e5 + 300 * sum(random.normal() * np.cos(2 * np.pi * (i * y + j * x + random.random()))
                        for i in (0, 1) for j in (1, 2))
        for _ in range(64)
    ])  # fmt: skip
    law = np.stack([np.repeat(np.arange(8), 8), random.uniform(1, 2, 64)], axis=1)
    wind = np.stack([height - 1e5, -0.1 * height], axis=-1) * law[:, 1, None, None, None] / 30
    wind += random.normal(size=wind.shape)
    gaps = np.where(random.random(wind.shape) < 0.2, np.nan, wind)
    np.savez(path, height=height, wind=wind, gaps=gaps, law=law)
    return path


FIELDS = {"maps": ("height",), "parameters": ("law",), "parameter_names": ("run", "gain"), "group": ("run",)}


@pytest.mark.parametrize(
    "asked",
    [
        {"target": ("wind",), "periodic": ("axis_2",), "augment": ("roll",)},
        {"target": ("gaps",), "missing": "mask"},
    ],
)
def test_fields_of_a_file_keep_it_too(tmp_path: Path, asked: dict[str, Any]) -> None:
    options = {"path": str(fields_file(tmp_path / "f.npz")), **FIELDS, **asked}
    contract = hold(Subject(find_modality("fields"), options), quick=True)
    kept(contract.verdicts)
    assert {each.clause for each in contract.verdicts if each.status == "skipped"} == {"overfits", "conditions"}
    said = {each.clause: each.text for each in contract.verdicts}
    assert "8 groups" in said["splits"]
    assert "data depend on height" in said["related"]


def test_fields_of_a_file_keep_the_clauses_that_train_too(tmp_path: Path) -> None:
    options = {"path": str(fields_file(tmp_path / "f.npz")), **FIELDS, "target": ("wind",)}
    verdicts = hold(Subject(find_modality("fields"), options), only=["overfits", "conditions"]).verdicts
    assert [each.status for each in verdicts] == ["ok", "ok"], verdicts


@dataclass(frozen=True)
class Lines:
    """Straight lines of 8 numbers whose slope is their condition; what is given in ``parts`` stands in its place."""

    parts: Any = None

    def dataset(self, split: str) -> Examples:
        if "dataset" in self._parts:
            return list(self._parts["dataset"](split))
        return lines(split)

    def normaliser(self) -> Any:
        return self._parts.get("normaliser", Standardise())

    def tokenizer(self) -> Any:
        return self._parts.get("tokenizer", GridTokenizer((2,)))

    def conditions(self) -> Sequence[Any]:
        return list(self._parts.get("conditions", [Vector("slope", size=1)]))

    def metrics(self) -> Sequence[Metric]:
        return list(self._parts.get("metrics", []))

    def preview(self, samples: Examples) -> Picture:
        return curves([sample.array[:, 0] for sample in samples])

    @property
    def _parts(self) -> dict[str, Any]:
        return self.parts or {}


def lines(split: str, count: int = 64, **changes: Any) -> list[Example]:
    random = np.random.default_rng([split == "train"])
    slopes = random.normal(size=(count, 1))
    arrays = slopes[:, :, None] * np.linspace(-1, 1, 8)[:, None] + 0.1 * random.normal(size=(count, 8, 1))
    examples = [Example(array, {"slope": slope}) for array, slope in zip(arrays, slopes, strict=True)]
    return [replace(each, **changes) for each in examples]


def verdict(clause: str, **parts: Any) -> Verdict:
    """What a clause says of lines with these parts."""

    class Source(ModalitySource):
        def make(self, options: Any) -> Any:
            return Lines(parts)

    subject = Subject(Source("lines", Lines, __name__), {})
    (found,) = hold(subject, only=[clause]).verdicts
    return found


def broken(clause: str, message: str, **parts: Any) -> None:
    found = verdict(clause, **parts)
    assert found.status == "failed", found
    assert message in found.text
    assert "\n" not in found.line()


def test_lines_keep_every_clause_that_is_broken_below() -> None:
    for clause in ("data", "repeat", "splits", "normalise", "tokenise", "padding", "related"):
        assert verdict(clause).status == "ok", clause
    assert verdict("metrics").status == "skipped"


def doubled(split: str) -> list[Example]:
    return [replace(each, array=lines("train")[0].array, condition={}) for each in lines(split)]


@pytest.mark.parametrize(
    ("message", "parts"),
    [
        ("the held_out split holds no example", {"dataset": lambda split: lines(split) if split == "train" else []}),
        (
            "every training example is the same",
            {"dataset": doubled, "conditions": [], "normaliser": Standardise(False, (0.0,), (1.0,))},
        ),
        (
            "condition 'kind' is declared and no example carries it",
            {"conditions": [Vector("slope", 1), ClassLabel("kind", 2)]},
        ),
        (
            "need real numbers, found infinity",
            {"dataset": lambda split: [replace(each, array=each.array / 0) for each in lines(split)]},
        ),
        (
            "holds no number at all",
            {"dataset": lambda split: [replace(each, array=each.array * np.nan) for each in lines(split)]},
        ),
        ("2 channels", {"tokenizer": GridTokenizer((2,), channels=2)}),
        ("is a ndarray, not an Example", {"dataset": lambda split: [each.array for each in lines(split)]}),
    ],
)
def test_what_newcomers_get_wrong_first_is_told_by_the_clause_on_data(message: str, parts: dict[str, Any]) -> None:
    with np.errstate(divide="ignore", invalid="ignore"):
        broken("data", message, **parts)


def test_splits_that_share_an_example_or_a_group_are_told() -> None:
    first = lines("train")[3]
    broken(
        "splits",
        "held_out example 2 is train example 3, number for number (1 such example)",
        dataset=lambda split: lines(split) if split == "train" else [*lines(split)[:2], first],
    )
    broken("splits", "group 'a' is in both splits", dataset=lambda split: lines(split, group="a"))
    assert "note" not in verdict("splits").text
    shared = verdict(
        "splits",
        dataset=lambda split: [
            *lines(split),
            *(
                replace(each, condition=other.condition)
                for each, other in zip(lines(split), lines("train"), strict=True)
            ),
        ],
    )
    assert "64 values of 'slope' are in both splits: if examples that share one belong together" in shared.text


@dataclass(frozen=True)
class Wide(Standardise):
    """Standardise, and then to a scale that no noise has."""

    factor: float = 1.0

    def apply(self, array: Any) -> Any:
        return super().apply(array) * np.float32(self.factor)

    def undo(self, array: Any) -> Any:
        return super().undo(array / np.float32(self.factor))


def test_normalisers_that_lose_numbers_or_scale_are_told() -> None:
    broken("normalise", "a root mean square of 1.07e+03; noise has 1", normaliser=Wide(factor=1000.0))

    def whole(split: str) -> list[Example]:
        return [replace(each, array=np.rint(100 * each.array).astype(np.int32)) for each in lines(split)]

    broken("normalise", "whole numbers must come back exactly", dataset=whole)


def test_metrics_are_held_to_floor_ceiling_truth_and_repetition() -> None:
    def metric(function: Any, **known: Any) -> list[Metric]:
        return [Metric("mine", "a formula", function, **known)]

    def steep(*sets: Examples) -> float:
        """Root mean square about the line of each example's own slope."""
        return float(
            np.sqrt(np.mean([(e.array[:, 0] - e.condition["slope"] * np.linspace(-1, 1, 8)) ** 2 for e in sets[2]]))
        )

    good = verdict("metrics", metrics=metric(steep, truth=(0.1, 0.02)))
    assert good.status == "ok", good
    assert "ceiling 0.09" in good.text
    broken(
        "metrics",
        "is 0.101 on true examples, where 0.500 is known, within 0.1",
        metrics=metric(steep, truth=(0.5, 0.1)),
    )
    broken("metrics", "is 0.101 on held-out examples, which misses its own bounds", metrics=metric(steep, low=0.2))
    broken("metrics", "cannot tell floor from ceiling", metrics=metric(lambda *sets: float(len(sets[2]) > 0)))
    broken("metrics", "failed on real examples (ZeroDivisionError", metrics=metric(lambda *sets: 1 / 0))
    broken("metrics", "is nan with held-out examples", metrics=metric(lambda *sets: float("nan")))
    counts = iter(range(10**6))
    broken("metrics", "another value when it is computed again", metrics=metric(lambda *sets: float(next(counts))))


def test_few_examples_that_cannot_tell_are_no_fault_of_a_metric() -> None:
    """0.2 between floor and ceiling where real examples differ by 0.2 among themselves."""
    told = _apart("metric", {"noise": 1.2}, 1.0, 0.2, 20)
    assert told == "floor 1.200 (noise), ceiling 1.000, which 20 held-out examples are too few to tell apart"
    for floor, count in ((1.2, 1000), (1.0, 20)):
        with pytest.raises(UserError, match="cannot tell floor from ceiling"):
            _apart("metric", {"noise": floor}, 1.0, 0.2, count)


@dataclass(frozen=True)
class Restless(Vector):
    """A condition whose embedding is another every time."""

    def embedder(self, hidden_size: int, tokenizer: Any) -> nn.Module:
        module = super().embedder(hidden_size, tokenizer)
        module.register_forward_hook(lambda _, given, vector: vector + 100 * torch.randn_like(vector))
        return module


@pytest.mark.slow
def test_a_network_that_cannot_fit_one_batch_is_told() -> None:
    broken("overfits", "after 300 steps on the same 8 examples the loss is", conditions=[Restless("slope", 1)])


def test_dependence_is_seen_without_correlation_and_seldom_where_there_is_none() -> None:
    random = np.random.default_rng(0)
    angle = random.uniform(0, 2 * np.pi, 100)[:, None]
    assert abs(np.corrcoef(np.cos(angle[:, 0]), np.sin(angle[:, 0]))[0, 1]) < 0.2
    assert dependence(np.cos(angle), np.sin(angle)) <= 0.01
    found = [dependence(random.normal(size=(50, 3)), random.normal(size=(50, 1))) for _ in range(40)]
    assert 0.3 < np.mean(found) < 0.7, "uniform where nothing depends on anything"
    assert np.mean(np.array(found) <= 0.1) < 0.3
    labels = random.integers(0, 3, 60)[:, None]
    assert dependence(labels + 0.5 * random.normal(size=(60, 1)), labels, finite=True) == 0.005


def test_a_slip_of_the_index_is_told_and_a_weak_relation_is_noted() -> None:
    """That none is found is no fault: a real relation may be too weak for so many examples."""

    def told(order: Any, noise: float = 0.1) -> Verdict:
        def dataset(split: str) -> list[Example]:
            random, found = np.random.default_rng(0), lines(split, 128)
            shaken = [replace(each, array=each.array + noise * random.normal(size=(8, 1))) for each in found]
            return [replace(each, condition=other.condition) for each, other in zip(shaken, order(found), strict=True)]

        return verdict("related", dataset=dataset)

    slipped = told(lambda found: [*found[2:], *found[:2]])
    assert slipped.status == "failed"
    assert "related to that of the example 2 before" in slipped.text
    assert "from the other end" in told(lambda found: found[::-1]).text
    for weak in (told(list, noise=200.0), told(lambda found: [found[i * 37 % 128] for i in range(128)])):
        assert weak.status == "ok", weak.text
        assert "no relation found with slope" in weak.text


def test_groups_are_one_however_they_are_written_and_arrays_whatever_is_said_of_them() -> None:
    def numbered(split: str) -> list[Example]:
        return [replace(each, group=5 if split == "train" else "5") for each in lines(split)]

    broken("splits", "group 5 is in both splits, written in two ways", dataset=numbered)

    def relabelled(split: str) -> list[Example]:
        return [replace(each, condition={"slope": np.full(1, float(len(split)))}) for each in lines("train")]

    broken("splits", "number for number", dataset=relabelled)


def test_baselines_for_data_of_any_form() -> None:
    random = np.random.default_rng(0)
    training = [
        Example(5 + 2 * random.normal(size=(extent, 1)), {"kind": kind}) for extent in range(3, 60) for kind in (0, 1)
    ]
    asked = [Example(np.full((200, 1), np.nan if row == 0 else 1.0), {"kind": 1}) for row in range(4)]
    drawn = noise(training, asked, seed=0)
    assert np.isnan(drawn[0].array).all()
    assert np.mean([each.array.mean() for each in drawn[1:]]) == pytest.approx(5, abs=0.3)
    assert np.mean([each.array.std() for each in drawn[1:]]) == pytest.approx(2, abs=0.2)
    again = noise(training, asked[:2], seed=0)
    assert np.array_equal(again[1].array, drawn[1].array)
    whole = noise([Example(np.arange(256, dtype=np.uint8)[:, None])], [Example(np.zeros((99, 1), np.uint8))], seed=0)
    assert whole[0].array.dtype == np.uint8
    one = collapsed(training, asked, ClassLabel("kind", 2))
    assert all(each.array is training[1].array for each in one)


def test_clauses_are_chosen_rested_on_and_told_as_json(tmp_path: Path) -> None:
    heard: list[str] = []
    contract = hold(Subject(find_modality("waves"), {"patch": 0}), heard=lambda each: heard.append(each.clause))
    assert contract.broken == ("parts",)
    assert heard == [clause.name for clause in CLAUSES]
    assert contract.verdicts[1].text == "rests on parts; mend that first"
    with pytest.raises(UserError, match="unknown clause 'split'; did you mean 'splits'"):
        hold(Subject(find_modality("waves"), {}), only=["split"])
    out = tmp_path / "verdicts.json"
    words = ["--only", "parts", "--only", "saves", "--data.patch", "0", "--json", str(out)]
    done = finish(command("check", "waves", *words))
    assert done.returncode == 2
    assert done.stderr == "beeline: waves: breaks 1 of 2 clauses: parts\n"
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [["parts", "failed"], ["saves", "skipped"]]
    assert [each["status"] for each in json.loads(out.read_text())["clauses"]] == ["failed", "skipped"]
    good = finish(command("check", "waves", "--only", "parts"))
    assert good.returncode == 0
    assert good.stdout.startswith("parts       ok")
    for wrong, message in (
        ("--data.size=3", "unknown key 'data.size'"),
        ("--train.steps=3", "unknown key 'train.steps'"),
    ):
        done = finish(command("check", "waves", wrong))
        assert done.returncode == 2
        assert message in done.stderr
    assert "name what to check" in finish(command("check")).stderr
    assert "did you mean 'waves'" in finish(command("check", "wave")).stderr
    assert "--data.patch" in finish(command("check", "waves", "--help")).stdout
