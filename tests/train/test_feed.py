"""Where training data come from changes nothing: memory, disk, one process or several."""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pytest
import torch

from beeline.cli.train import train
from beeline.conditioning.label import ClassLabel
from beeline.conditioning.map import AlignedMap
from beeline.conditioning.vector import Vector
from beeline.core.data import Batch, Deferred, Example
from beeline.core.errors import UserError
from beeline.core.protocols import Condition
from beeline.data.normalisers import Pixels
from beeline.model.codec import Codec
from beeline.tokenizers.grid import GridTokenizer
from beeline.train import supply as supplying
from beeline.train.config import TrainConfig
from beeline.train.feed import Feed, HeldFeed
from beeline.train.reading import Reader, ReadingFeed
from beeline.train.supply import supply
from beeline.train.variation import Variation
from tests.conftest import FAST
from tests.train.helpers import fingerprint

CONFIG = TrainConfig(device="cpu", seed=3)


@dataclass(frozen=True)
class Mirrored:
    """Left and right exchanged, and moved by one cell; which of the four is told."""

    condition: str | None = "way"
    ways: ClassVar[int] = 4

    def rearrange(self, array: np.ndarray[Any, Any], way: int) -> np.ndarray[Any, Any]:
        return np.roll(array[:, ::-1] if way % 2 else array, way // 2, axis=0)

    def label(self, way: int) -> int:
        return way


class Told(ClassLabel):
    """Absent where nothing was varied."""

    has_null = True


class Stored(Deferred):
    """Examples as a folder would give them."""

    def __init__(self, count: int = 10, extent: int = 7) -> None:
        self.examples, self.extent = count, extent

    def __len__(self) -> int:
        return self.examples

    def condition(self, index: int) -> Mapping[str, Any]:
        return {"kind": index % 3}

    def group(self, index: int) -> Hashable:
        return index

    def name(self, index: int) -> str:
        return f"picture {index}.png"

    def read(self, index: int) -> Example:
        random = np.random.default_rng(index)
        array = random.integers(0, 256, (self.extent, 6, 2), dtype=np.uint8)
        return Example(array, self.condition(index), index)


class Masked(Stored):
    """Of which not everything was observed: whole cells of some, single numbers of others, all of the rest."""

    def read(self, index: int) -> Example:
        example = super().read(index)
        random = np.random.default_rng(100 + index)
        shapes = (example.array.shape[:-1], example.array.shape, None)
        shape = shapes[index % 3]
        return example if shape is None else replace(example, observed=random.random(shape) < 0.7)


class Broken(Stored):
    """One of whose files is damaged."""

    def read(self, index: int) -> Example:
        if index == 4:
            raise UserError("truncated")
        return super().read(index)


def codec(*conditions: Condition) -> Codec:
    return Codec(Pixels(), GridTokenizer((2, 2), channels=2), (ClassLabel("kind", 3), *conditions))


def same(one: Batch, other: Batch) -> None:
    for name in ("values", "coords", "ids", "keep", "cells", "segment", "observed"):
        mine, theirs = getattr(one.tokens, name), getattr(other.tokens, name)
        assert (mine is None) == (theirs is None), name
        if mine is not None:
            assert torch.equal(mine, theirs), name
    assert one.tokens.layout == other.tokens.layout
    assert one.conditions.rates == other.conditions.rates
    for part in ("values", "null"):
        mine, theirs = getattr(one.conditions, part), getattr(other.conditions, part)
        assert mine.keys() == theirs.keys()
        for name in mine:
            assert torch.equal(mine[name], theirs[name]), name


@pytest.mark.parametrize("augmentation", [None, Mirrored(None), Mirrored("way")])
def test_batches_from_memory_from_disk_and_from_other_processes_are_the_same(augmentation: Mirrored | None) -> None:
    told = [Told("way", 4, dropout=0)] if augmentation is not None and augmentation.condition else []
    mine, data = codec(*told), Stored()
    feeds: list[Feed] = [
        supply(replace(CONFIG, in_memory=in_memory, workers=workers), mine, data, augmentation)[0]
        for in_memory, workers in ((True, None), (False, 0), (False, 2))
    ]
    assert [type(feed) for feed in feeds] == [HeldFeed, ReadingFeed, ReadingFeed]
    for first in (0, 4, 8, 12, 100):  # over the end of an epoch, and with a jump
        batches = [feed.batch(first, 4) for feed in feeds]
        for other in batches[1:]:
            same(batches[0], other)
    for feed in feeds:
        feed.close()


def test_every_way_of_varying_occurs_and_is_the_example_rearranged() -> None:
    mine, data = codec(Told("way", 4, dropout=0)), Stored()
    feed = supply(replace(CONFIG, in_memory=True), mine, data, Mirrored())[0]
    plain = supply(replace(CONFIG, in_memory=True), codec(), data, None)[0]
    seen = set()
    for first in range(0, 60, 6):
        varied, unvaried = feed.batch(first, 6), plain.batch(first, 6)
        for row in range(6):
            way = int(varied.conditions.values["way"][row])
            seen.add(way)
            before = mine.decode(replace(unvaried.tokens, **rows(unvaried, row)))[0]
            after = mine.decode(replace(varied.tokens, **rows(varied, row)))[0]
            np.testing.assert_array_equal(after, Mirrored().rearrange(before, way))
    assert seen == {0, 1, 2, 3}


@pytest.mark.parametrize("augmentation", [None, Mirrored(None)])
def test_what_was_not_observed_is_known_to_every_feed_and_moves_with_the_data(augmentation: Mirrored | None) -> None:
    mine, data = codec(), Masked()
    feeds: list[Feed] = [
        supply(replace(CONFIG, in_memory=in_memory, workers=0), mine, data, augmentation)[0]
        for in_memory in (True, False)
    ]
    for first in (0, 5):
        held, read = (feed.batch(first, 5) for feed in feeds)
        same(held, read)
        tokens = held.tokens
        assert tokens.observed is not None
        hidden = tokens.only_data((~tokens.observed).float()).sum(dim=(1, 2))
        assert ((hidden > 0) & (hidden < 50)).sum() >= 2
        assert (tokens.values[~tokens.observed] == 0).all(), "what stands there counts nowhere"
        assert (tokens.values == 0).float().mean() < 0.5


def rows(batch: Batch, row: int) -> dict[str, Any]:
    tokens = batch.tokens
    parts = {name: getattr(tokens, name)[row : row + 1] for name in ("values", "coords", "cells")}
    return {**parts, "layout": tokens.layout[row : row + 1]}


def test_maps_are_varied_with_the_data_above_them() -> None:
    under = AlignedMap("under", channels=1, dropout=0)
    mine = Codec(Pixels(), GridTokenizer((2, 2)), (replace(under, mean=(0.0,), deviation=(1.0,)),))
    array = np.arange(24, dtype=np.uint8).reshape(4, 6, 1)
    data = [Example(array, {"under": array.astype(np.float32)})] * 3
    feed, _, reason = supply(replace(CONFIG, in_memory=True), mine, data, Mirrored(None))
    assert isinstance(feed, ReadingFeed), reason
    batch = feed.batch(0, 16)
    pixels = torch.round((batch.tokens.values + 1) * 127.5)
    assert torch.equal(pixels, batch.conditions.values["under"])
    assert len({tuple(row.flatten().tolist()) for row in pixels}) == 4


def test_a_normaliser_that_knows_places_is_not_gathered() -> None:
    """Varying tokens would put the numbers of one place where another's belong."""

    @dataclass(frozen=True)
    class Shaded:
        def fit(self, arrays: object) -> Self:
            return self

        def apply(self, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
            return (array + np.arange(array.shape[1])[None, :, None]).astype(np.float32)

        def undo(self, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
            return array

    shaded = Codec(Shaded(), GridTokenizer((2, 2), channels=2), (ClassLabel("kind", 3),))
    assert Variation(Mirrored(None), codec()).table(Stored()[0]) is not None
    assert Variation(Mirrored(None), shaded).table(Stored()[0]) is None


def test_an_unreadable_example_is_named_by_whoever_reads_it() -> None:
    for workers in (0, 2):
        feed = ReadingFeed(Reader(codec(), Broken(), seed=0), workers)
        with pytest.raises(UserError, match=r"^train picture 4\.png: truncated$"):
            _ = [feed.batch(first, 5) for first in range(0, 40, 5)]
        feed.close()


def test_training_that_waits_gets_processes_that_read(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(Stored):
        def read(self, index: int) -> Example:
            time.sleep(0.02)
            return super().read(index)

    feeds = [ReadingFeed(Reader(codec(), data, seed=0)) for data in (Slow(), Stored())]
    for first in range(0, 40, 8):
        batches = [feed.batch(first, 8) for feed in feeds]
        same(*batches)
        time.sleep(0.5)  # far longer than a busy machine takes to read what is there
    assert [feed.workers > 0 for feed in feeds] == [True, False]
    assert feeds[0].waited > feeds[1].waited > 0
    for feed in feeds:
        feed.close()


def test_data_that_do_not_fit_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for free, kind in ((10**9, HeldFeed), (1000, ReadingFeed), (None, HeldFeed)):
        monkeypatch.setattr(supplying, "available_memory", lambda device, free=free: free)
        feed, fitted, reason = supply(CONFIG, codec(), Stored(), None)
        assert type(feed) is kind
        assert ("read as they are needed" in reason) == (kind is ReadingFeed)
        assert fitted.forms == (((7, 6), 10),)
        assert fitted.extents == (4, 3)
    monkeypatch.setattr(supplying, "available_memory", lambda device: 1000)
    with pytest.raises(UserError, match=r"train\.packing needs the data in memory"):
        supply(replace(CONFIG, packing=True), codec(), Stored(), None)


def test_varied_examples_are_packed_where_that_is_asked_for() -> None:
    feed, _, reason = supply(replace(CONFIG, in_memory=True, packing=True), codec(), Stored(), Mirrored(None))
    assert "are kept" not in reason
    segments = feed.batch(0, 4).tokens.segment
    assert segments is not None
    assert sorted(set(segments.flatten().tolist()) - {-1}) == [0, 1, 2, 3]


def test_a_run_that_reads_ends_like_one_that_holds(tmp_path: Path) -> None:
    held, read = tmp_path / "held", tmp_path / "read"
    train("digits", held, options={**FAST, "train.steps": 8})
    train("digits", read, options={**FAST, "train.steps": 8, "train.in_memory": "false", "train.workers": 1})
    one, other = fingerprint(held), fingerprint(read)
    assert one == {**other, "model.json": one["model.json"]}  # which stores the options


def test_vectors_are_held_too() -> None:
    vector = replace(Vector("law", 2), mean=(0.0, 0.0), deviation=(1.0, 1.0))
    mine = Codec(Pixels(), GridTokenizer((2, 2), channels=2), (vector,))
    data = [Example(Stored()[index].array, {"law": (index, 2)} if index else {}) for index in range(5)]
    held, read = (supply(replace(CONFIG, in_memory=each), mine, data, None)[0] for each in (True, False))
    assert isinstance(held, HeldFeed)
    assert not isinstance(read, HeldFeed)
    same(held.batch(3, 9), read.batch(3, 9))
