"""What belongs together is in one split, unless that is forced; and then it is written down."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import beeline
from beeline.cli.recipes import find_recipe
from beeline.cli.resolve import resolve
from beeline.core.errors import UserError
from beeline.data.splits import split_by_group, torn_groups
from beeline.modalities.images import Images
from beeline.train.machine import settle
from beeline.train.setup import Prepared, prepare
from tests.conftest import FAST
from tests.data.images import folder_of
from tests.train.helpers import flags


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """Thirty pictures, three of each of ten scenes, which a manifest tells as their groups."""
    folder = folder_of(tmp_path / "images", {"cat": 15, "dog": 15}, (8, 8))
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))
    rows = [f"{name},{name.partition('/')[0]},scene {number // 3}" for number, name in enumerate(names)]
    (folder / "list.csv").write_text("\n".join(["file,label,group", *rows]))
    return folder


def test_groups_are_torn_where_both_splits_have_them_and_none_is_no_group() -> None:
    assert torn_groups(["b", None, "a", "c"], ["c", "b", None, "d"]) == ["b", "c"]
    groups = ["abcdefgh"[number // 3] for number in range(24)]
    sides = split_by_group(groups, 0.3)
    assert torn_groups(*([groups[index] for index in side] for side in sides)) == []


def test_images_stay_with_their_group_unless_they_are_split_one_by_one(scenes: Path) -> None:
    options: dict[str, Any] = {"path": str(scenes), "labels": "list.csv"}
    for split, torn in (("group", False), ("image", True)):
        images = Images(**options, split=split)  # type: ignore[arg-type]
        sides = [{example.group for example in images.dataset(side)} for side in ("train", "held_out")]
        assert bool(sides[0] & sides[1]) is torn
        assert len(images.dataset("train")) + len(images.dataset("held_out")) == 30


def test_a_split_that_tears_groups_is_refused_and_when_forced_recorded(scenes: Path) -> None:
    asked = {**FAST, "train.steps": 2, "data.labels": "list.csv", "data.split": "image"}

    def ready(**more: Any) -> Prepared:
        words = flags({**asked, **{f"train.{name}": value for name, value in more.items()}})
        resolved = resolve(find_recipe(scenes), words)
        return prepare(replace(resolved.config, train=settle(resolved.config.train)[0]), resolved.source)

    message = r"group 'scene .*is in both splits; use split_by_group to keep it whole, or force such a split"
    with pytest.raises(UserError, match=message):
        ready()
    forced = ready(force_split="true")
    torn = forced.description["training"]["torn_groups"]
    sides = [{example.group for example in side} for side in (forced.training, forced.held_out)]
    assert torn == len(sides[0] & sides[1]) > 0
    assert forced.description["config"]["train"]["force_split"] is True
    assert (
        f"warning: {torn} groups are in both splits, as train.force_split asks; scores are too good" in forced.reasons
    )
    (verdict,) = beeline.check(scenes, ["--data.labels=list.csv", "--data.split=image"], only=["splits"]).verdicts
    assert verdict.status == "failed"


def test_a_run_that_tears_no_group_says_nothing_of_it(small_run: Path) -> None:
    assert "torn_groups" not in json.loads((small_run / "model.json").read_text())["training"]
