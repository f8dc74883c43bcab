"""Batches gathered on the device that trains are those that are put together sample by sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks.gpu.machine import waits
from torch import Tensor

from beeline.conditioning.coarse_map import CoarseMap
from beeline.conditioning.label import ClassLabel
from beeline.conditioning.map import AlignedMap
from beeline.conditioning.start import StartingSample
from beeline.conditioning.vector import Vector
from beeline.core.context import Context
from beeline.core.data import Batch, Example
from beeline.core.errors import UserError
from beeline.core.memory import held_bytes
from beeline.core.tokens import Layout, Tokens
from beeline.data.normalisers import Pixels, Standardise
from beeline.model.codec import Codec, Encoded
from beeline.tokenizers.grid import GridTokenizer
from beeline.tokenizers.sets import SetTokenizer
from beeline.train import supply as supplying
from beeline.train.config import TrainConfig
from beeline.train.feed import HeldFeed
from beeline.train.shelf import Shelf
from beeline.train.supply import supply
from tests.train.test_gpu import GPU, ReadBack

COUNT, WIDTH = 12, 3
SIZES = {"ragged": (1, 2, 5, 7, 11), "multiples": (4, 8, 12), "equal": (6,)}
PARTS = ("coords", "own coords", "ids", "cells", "some cells", "observed", "some coords")
ATTENDED = CoarseMap("coarse", (1,), dropout=0.5)
PACKED = Codec(
    Standardise(mean=(0.0,), deviation=(1.0,)),
    GridTokenizer((1,)),
    (
        ClassLabel("kind", 3),
        replace(Vector("law", 2), mean=(0.0, 0.0), deviation=(1.0, 1.0)),
        AlignedMap("under", channels=2, dropout=0.25),
        StartingSample("before"),
    ),
)
CODEC = replace(PACKED, conditions=(*PACKED.conditions, ATTENDED))


def drawn(seed: int, sizes: Sequence[int], parts: Sequence[str], attended: Sequence[int] = ()) -> list[Encoded]:
    """Examples with all kinds of parts, those of a grid being the same object for all of a size."""
    random = np.random.default_rng(seed)
    grids = {size: torch.from_numpy(random.normal(size=(1, size, 2))).float() for size in sizes}

    def numbers(size: int, width: int) -> Tensor:
        return torch.from_numpy(random.normal(size=(1, size, width))).float()

    def booleans(size: int) -> Tensor:
        return torch.from_numpy(random.random((1, size, WIDTH)) < 0.7)

    def example(size: int) -> Encoded:
        chance = random.random() < 0.4
        coords = grids[size] if "coords" in parts or ("some coords" in parts and chance) else None
        tokens = Tokens(
            numbers(size, WIDTH),
            coords=numbers(size, 2) if "own coords" in parts else coords,
            ids=torch.from_numpy(random.integers(0, 9, (1, size))) if "ids" in parts else None,
            cells=booleans(size) if "cells" in parts or ("some cells" in parts and chance) else None,
            layout=(Layout((size,), (size,), (None,)),),
            observed=booleans(size) if "observed" in parts and chance else None,
        )
        seen = int(random.choice(attended or [0]))
        kept = torch.from_numpy(random.random((1, seen)) < 0.8)
        values: dict[str, Tensor | Tokens | Context] = {
            "kind": torch.tensor(int(random.integers(3))),
            "law": numbers(1, 2)[0, 0],
            "under": replace(tokens, values=numbers(size, 2), cells=None, observed=None),
            "before": tokens.with_values(numbers(size, WIDTH)),
        }
        context = {"coarse": Context(numbers(seen, 4), numbers(seen, 2), kept)} if attended else {}
        null = {name: bool(random.random() < 0.5) for name in (*values, *context)}
        return Encoded(tokens, {**values, **context}, null)

    return [example(int(size)) for size in [*sizes, *random.choice(sizes, COUNT - len(sizes))]]


def same(one: Batch, other: Batch) -> None:
    """To the bit, field by field, None and dtypes and what all rows share included."""
    for name in ("values", "coords", "ids", "keep", "cells", "segment", "observed", "end"):
        equal(name, getattr(one.tokens, name), getattr(other.tokens, name))
    assert one.tokens.layout == other.tokens.layout
    assert one.conditions.rates == other.conditions.rates
    for part in ("values", "null"):
        mine, theirs = getattr(one.conditions, part), getattr(other.conditions, part)
        assert list(mine) == list(theirs)
        for name in mine:
            pairs = [(mine[name], theirs[name])]
            if isinstance(mine[name], Context):
                pairs = list(zip(mine[name].tensors(), theirs[name].tensors(), strict=True))
            for pair in pairs:
                equal(name, *pair)
    assert one.partners is other.partners is None


def equal(name: str, one: Tensor | None, other: Tensor | None) -> None:
    assert (one is None) == (other is None), name
    if one is not None and other is not None:
        assert (one.dtype, one.shape) == (other.dtype, other.shape), name
        assert torch.equal(one.cpu(), other), name
        if name == "coords" and one.shape[0] > 1:
            assert (one.stride(0) == 0) == (other.stride(0) == 0), "what all rows share is kept once"


def some(seed: int) -> list[list[int]]:
    """Batches of examples: of one, of few and of many."""
    random = np.random.default_rng([seed, 1])
    return [random.permutation(COUNT)[:length].tolist() for length in (1, 2, 2, 3, 5, COUNT)]


@pytest.mark.parametrize("device", ["cpu", GPU])
@pytest.mark.parametrize("packing", [False, True])
@pytest.mark.parametrize("sizes", SIZES)
def test_a_gathered_batch_is_the_batch_that_the_codec_makes(sizes: str, packing: bool, device: str) -> None:
    codec, attended = (PACKED, ()) if packing else (CODEC, (3,) if sizes == "equal" else (0, 2, 4))
    for seed in range(24):
        random = np.random.default_rng([seed, 2])
        parts = [part for part in PARTS if random.random() < 0.4]
        examples = drawn(seed, SIZES[sizes], parts, attended)
        shelf = Shelf(codec, examples, packing, device)
        for indices in some(seed):
            picked = [examples[index] for index in indices]
            same(shelf.batch(indices), codec.batch(picked, packing, max(SIZES[sizes]) if packing else None))


def test_what_samples_of_one_form_attend_to_has_one_length() -> None:
    examples = drawn(0, SIZES["equal"], ["coords"], attended=(0, 2, 5))
    shelf, whole = Shelf(CODEC, examples), CODEC.batch(examples)
    assert shelf.one_form
    for indices in some(0):
        same(shelf.batch(indices), whole.rows(torch.tensor(indices)))


ARRAYS: dict[str, tuple[Any, Callable[[np.random.Generator], Any]]] = {
    "waves": (GridTokenizer((4,), periodic=(False,)), lambda random: random.normal(size=(random.integers(5, 40), 1))),
    "maps": (GridTokenizer((2, 2), 2), lambda random: random.normal(size=(*random.integers(3, 6, 2), 2))),
    "genes": (SetTokenizer(20), lambda random: np.where(random.random(20) < 0.5, 1.0, np.nan)),
}


@pytest.mark.parametrize("packing", [False, True])
@pytest.mark.parametrize("kind", ARRAYS)
def test_any_place_in_the_order_gives_what_its_examples_give(kind: str, packing: bool) -> None:
    """Also for a feed that has handed out nothing before, which is what a run that resumes has."""
    tokenizer, draw = ARRAYS[kind]
    random = np.random.default_rng(0)
    data = [Example(draw(random).astype(np.float32), {"kind": place % 3}) for place in range(20)]
    width = getattr(tokenizer, "channels", 1)
    codec = Codec(Standardise(mean=(0.0,) * width, deviation=(1.0,) * width), tokenizer, (ClassLabel("kind", 3),))
    config = TrainConfig(device="cpu", seed=3, packing=packing, in_memory=True)
    feeds = [supply(config, codec, data, None)[0] for _ in range(2)]
    encoded = [codec.encode(each) for each in data]
    longest = max(each.tokens.values.shape[1] for each in encoded) if packing else None
    for first, feed in ((0, feeds[0]), (15, feeds[0]), (15, feeds[1]), (200, feeds[1])):
        assert isinstance(feed, HeldFeed)
        picked = [encoded[index] for index in feed._order.indices(first, 8)]
        same(feed.batch(first, 8), codec.batch(picked, packing, longest))


@pytest.mark.parametrize("packing", [False, True])
def test_no_number_is_asked_of_the_device(packing: bool) -> None:
    codec, attended = (PACKED, ()) if packing else (CODEC, (0, 2, 4))
    shelf = Shelf(codec, drawn(1, SIZES["ragged"], PARTS, attended), packing)
    with ReadBack() as read:
        shelf.batch([3, 1, 4])
    assert read.count == 0


@pytest.mark.gpu
@pytest.mark.parametrize("packing", [False, True])
def test_a_gathered_batch_waits_for_nothing(packing: bool) -> None:
    codec, attended = (PACKED, ()) if packing else (CODEC, (0, 2, 4))
    shelf = Shelf(codec, drawn(1, SIZES["ragged"], PARTS, attended), packing, "cuda")
    shelf.batch([3, 1, 4])
    assert waits(lambda: shelf.batch([3, 1, 4])) == []


def test_what_examples_share_is_kept_once_and_all_of_it_is_counted() -> None:
    for sizes in SIZES.values():
        coords = 4 * 2 * sum(sizes)
        plain, placed = (Shelf(CODEC, drawn(0, sizes, parts)) for parts in ([], ["coords"]))
        filler = 0 if len(sizes) == 1 else 4 * 2 * np.gcd.reduce(sizes)
        assert held_bytes(placed.tensors()) - held_bytes(plain.tensors()) == coords + filler
        assert placed.bytes_of(COUNT) == held_bytes(placed.tensors())
    own = 4 * (2 * WIDTH + 2) * sizes[0] + 8 + 8 + 4  # values, start, map; class, vector; whether four are absent
    assert placed.bytes_of(10 * COUNT) == 10 * COUNT * own + coords


def test_what_data_take_is_reckoned_from_more_than_the_first() -> None:
    codec = Codec(Pixels(), GridTokenizer((1, 1)), ())
    extents = np.random.default_rng(0).integers(1, 9, 1000)
    data = [Example(np.zeros((int(extent), 8, 1), dtype=np.uint8)) for extent in extents]
    held = supply(TrainConfig(device="cpu", in_memory=True), codec, data, None)[0].held
    assert 4 * 8 * extents.sum() <= held
    assert supplying.held_bytes(codec, data) == pytest.approx(held, rel=0.2)


def test_data_that_a_gpu_cannot_hold_are_kept_beside_it_where_that_is_asked_for(monkeypatch: Any) -> None:
    config = TrainConfig(device="cuda", in_memory=True, packing=True)
    data = [Example(np.zeros((extent, 8, 1), dtype=np.uint8)) for extent in (1, 2, 3)]
    monkeypatch.setattr(supplying, "available_memory", lambda device: 100)
    feed, _, reason = supply(config, Codec(Pixels(), GridTokenizer((1, 1)), ()), data, None)
    assert reason == "data are kept in memory: as asked"
    assert feed.batch(0, 3).tokens.values.device.type == "cpu"


def test_samples_that_attend_share_no_rows() -> None:
    with pytest.raises(UserError, match=r"train\.packing: samples attend to condition coarse"):
        Shelf(CODEC, drawn(0, SIZES["ragged"], []), packing=True)


def changed(example: Encoded, **parts: Any) -> Encoded:
    return replace(example, tokens=replace(example.tokens, **parts))


def test_examples_are_of_one_form_where_they_differ_in_numbers_alone() -> None:
    first, *others = drawn(0, SIZES["equal"], ["coords"])
    coords = first.tokens.coords
    assert coords is not None
    again = changed(first, coords=coords.clone())
    alike, shared = Shelf(CODEC, [again, *others]), Shelf(CODEC, [first, *others])
    assert alike.one_form
    assert held_bytes(alike.tensors()) == held_bytes(shared.tensors()), "what is equal is kept once"
    elsewhere = changed(first, coords=coords + 1)
    folded = changed(first, layout=(Layout((2, 3), (2, 3)),))
    unplaced = changed(first, coords=None)
    for other in (elsewhere, folded, unplaced):
        assert not Shelf(CODEC, [other, *others]).one_form
    assert not Shelf(CODEC, drawn(0, SIZES["ragged"], [])).one_form


def test_only_one_form_can_be_varied() -> None:
    with pytest.raises(ValueError, match="one form"):
        HeldFeed(CODEC, drawn(0, SIZES["ragged"], ["coords"]), seed=0, table=torch.zeros(2, 3, dtype=torch.int64))
