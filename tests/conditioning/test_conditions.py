"""Conditions: what they accept, how they are dropped, and the null that stands for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from beeline.conditioning.augmentation import AugmentationLabel
from beeline.conditioning.label import ClassLabel
from beeline.conditioning.map import AlignedMap
from beeline.conditioning.vector import Vector
from beeline.core.conditions import Conditions
from beeline.core.errors import UserError, unknown
from beeline.core.parts import describe_part, rebuild_part
from beeline.core.random import Key
from beeline.tokenizers.grid import GridTokenizer

TOKENIZER = GridTokenizer((2, 2))


@pytest.mark.parametrize("value", [-1, 10, 2.5, "3", True, [1], None.__class__])
def test_labels_that_do_not_exist_are_refused(value: object) -> None:
    with pytest.raises(UserError, match="labels are whole numbers from 0 to 9"):
        ClassLabel("label", 10).encode(value)


def test_labels_of_any_integer_type_are_taken() -> None:
    for value in (3, np.int64(3), np.uint8(3), torch.tensor(3)):
        assert ClassLabel("label", 10).encode(value).item() == 3
    assert ClassLabel("label", 10).parse("7") == 7
    with pytest.raises(UserError, match="label=seven"):
        ClassLabel("label", 10).parse("seven")


def test_e09_the_null_row_exists_and_its_index_comes_from_the_table() -> None:
    """E9: a table of classes + 1 rows, the last of which is the null; without dropping there is none."""
    for classes in (2, 10, 1000):
        embedding = ClassLabel("label", classes).embedder(8, TOKENIZER)
        labels = torch.zeros(2, dtype=torch.long)
        vectors = embedding(labels, torch.tensor([False, True]))
        table = embedding.table.weight  # type: ignore[union-attr]
        assert table.shape == (classes + 1, 8)
        assert torch.equal(vectors[0], table[0])  # type: ignore[index]
        assert torch.equal(vectors[1], table[classes])  # type: ignore[index]
    bare = ClassLabel("label", 10, dropout=0.0).embedder(8, TOKENIZER)
    assert bare.table.weight.shape == (10, 8)  # type: ignore[union-attr]


def test_e16_a_label_is_as_wide_as_the_network() -> None:
    """E16: class vectors have the hidden width, 384 to 1152, not a constant 768."""
    for width in (384, 768, 1152):
        vectors = ClassLabel("label", 10).embedder(width, TOKENIZER)(torch.tensor([1]), torch.tensor([False]))
        assert vectors.shape == (1, width)


def test_vectors_are_standardised_by_their_training_values() -> None:
    values = [[1.0, 100.0], [3.0, 300.0], [5.0, 200.0]]
    fitted = Vector("law", 2).fit(values)
    encoded = torch.stack([fitted.encode(value) for value in values]).double()
    torch.testing.assert_close(encoded.mean(0), torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-6)
    torch.testing.assert_close(encoded.std(0, correction=0), torch.ones(2, dtype=torch.float64))
    again = rebuild_part(describe_part(fitted), "")
    assert torch.equal(again.encode([2.0, 250.0]), fitted.encode([2.0, 250.0]))
    assert fitted.parse("0.5,-1e3") == [0.5, -1000.0]


@pytest.mark.parametrize("value", [[1.0], [1.0, 2.0, 3.0], [1.0, float("nan")], "a", {"a": 1}])
def test_vectors_that_do_not_fit_are_refused(value: object) -> None:
    with pytest.raises(UserError, match="need 2 finite numbers"):
        Vector("law", 2, mean=(0, 0), deviation=(1, 1)).encode(value)


def test_a_number_that_never_varies_is_refused() -> None:
    with pytest.raises(UserError, match="component 1 is the same in every example"):
        Vector("law", 2).fit([[1.0, 2.0], [2.0, 2.0]])
    with pytest.raises(UserError, match="channel 0 is the same everywhere"):
        AlignedMap("under").fit([np.ones((4, 4, 1))])


def test_maps_are_standardised_and_read_from_files(tmp_path: Path) -> None:
    maps = [np.random.default_rng(i).normal(5, 3, size=(4, 6, 2)) for i in range(20)]
    fitted = AlignedMap("under", channels=2).fit(maps)
    encoded = torch.stack([fitted.encode(one) for one in maps])
    assert encoded.mean().abs() < 1e-5
    assert encoded.std().item() == pytest.approx(1, abs=0.02)
    np.save(tmp_path / "map.npy", maps[0])
    assert np.array_equal(fitted.parse(str(tmp_path / "map.npy")), maps[0])
    (tmp_path / "bad.npy").write_bytes(b"not an array")
    for name, message in (("none.npy", "no such file"), ("bad.npy", r"not a readable \.npy")):
        with pytest.raises(UserError, match=message):
            fitted.parse(str(tmp_path / name))
    for wrong in (np.zeros((4, 6, 3)), np.zeros(4), np.full((4, 6, 2), np.nan), np.zeros((4, 6, 2), complex)):
        with pytest.raises(UserError, match=r"need a real array|NaN or infinity"):
            fitted.encode(wrong)


def test_an_anomaly_shows_what_varies_within_maps_that_lie_far_apart() -> None:
    """Levels 1e5 apart whose maps vary by 1: a z-score leaves 1e-5 of them, an anomaly all, and the means beside."""
    random = np.random.default_rng(0)
    maps = [1e5 * (i % 2) + random.normal(size=(8, 6, 1)) for i in range(20)]
    fitted = AlignedMap("z", 2, shown="anomaly", given=1).fit(maps)
    encoded = torch.stack([fitted.encode(one) for one in maps])
    assert AlignedMap("z").fit(maps).encode(maps[0]).std() < 1e-4
    assert encoded[..., 0].std().item() == pytest.approx(1, abs=0.05)
    for one, each in zip(maps, encoded, strict=True):
        assert each[..., 0].mean().abs() < 1e-5
        assert len(each[..., 1].unique()) == 1
        back = each.double().numpy() * fitted.deviation + fitted.mean
        np.testing.assert_allclose(back.sum(axis=-1, keepdims=True), one, atol=0.02)
    same = AlignedMap("z", 2, shown="anomaly", given=1).fit([one - one.mean() for one in maps])
    assert torch.isfinite(same.encode(maps[0])).all(), "maps may share one mean"
    slopes = AlignedMap("z", 4, shown="gradient", given=1).fit(
        [*maps, np.add.outer(2.0 * np.arange(8), np.arange(6))[..., None]]
    )
    shown = slopes.encode(np.add.outer(2.0 * np.arange(8), np.arange(6))[..., None]) * torch.tensor(slopes.deviation)
    torch.testing.assert_close(shown[..., 2:] + torch.tensor(slopes.mean)[2:], torch.tensor([2.0, 1.0]).expand(8, 6, 2))
    with pytest.raises(UserError, match="channel 0 is the same everywhere"):
        AlignedMap("z", 2, shown="anomaly", given=1).fit([np.ones((4, 4, 1)), np.zeros((4, 4, 1))])


def test_what_rounding_leaves_of_a_mean_is_no_signal() -> None:
    """Maps of zero mean in float32, whose means are of 1e-9: told as they are, not blown up to unit variance."""
    random = np.random.default_rng(0)
    maps = [random.normal(size=(16, 16, 1)) for _ in range(20)]
    maps = [(one - one.mean()).astype(np.float32) for one in maps]
    fitted = AlignedMap("z", 2, shown="anomaly", given=1).fit(maps)
    assert fitted.encode(maps[0] + 0.001)[..., 1].abs().max() < 0.002
    with pytest.raises(UserError, match="channel 0 is the same everywhere within each map"):
        AlignedMap("z", 2, shown="anomaly", given=1).fit([np.full((4, 4, 1), value) for value in (0.1, 0.3, 7.7)])


def test_slopes_close_where_the_axis_does_and_are_none_along_a_single_cell() -> None:
    wave = np.sin(2 * np.pi * np.arange(16) / 16)[:, None, None] * np.ones((1, 5, 1))
    turning = AlignedMap("z", 4, shown="gradient", given=1, periodic=(True, False)).fit([wave, 2 * wave])
    rolled = turning.encode(np.roll(wave, 5, axis=0))
    torch.testing.assert_close(rolled, turning.encode(wave).roll(5, dims=0))
    single = AlignedMap("z", 4, shown="gradient", given=1).fit([wave[:, :1], 2 * wave[:, :1]])
    assert not single.encode(wave[:, :1])[..., 3].any()
    with pytest.raises(
        UserError, match=r"condition z: the map has shape \(2, 16, 5, 1\), not 2 axes and channels last"
    ):
        turning.encode(np.stack([wave, wave]))


@pytest.mark.parametrize(
    ("condition", "value"),
    [(Vector("v", 3), torch.randn(2, 3)), (AlignedMap("m", 1, dropout=0.2), torch.randn(2, 5, 4))],
)
def test_nulls_are_learned_and_replace_what_is_absent(condition: Vector | AlignedMap, value: torch.Tensor) -> None:
    embedder = condition.embedder(8, TOKENIZER)
    null = torch.tensor([False, True])
    out = embedder(value, null if value.dim() == 2 else null[:, None, None])
    other = embedder(value + 1, null if value.dim() == 2 else null[:, None, None])
    assert not torch.equal(out[0], other[0])
    assert torch.equal(out[1], other[1])
    out[1].sum().backward()
    assert embedder.null.grad.abs().sum() > 0  # type: ignore[union-attr, operator]


def test_labels_and_vectors_are_dropped_in_a_tenth_of_the_samples_unless_told_otherwise() -> None:
    """The rate of classifier-free guidance in the DiT paper."""
    assert ClassLabel("label", 10).dropout == Vector("law", 2).dropout == 0.1


def test_what_is_absent_stays_absent_whatever_is_dropped_beside_it() -> None:
    absent = torch.arange(200) < 20
    for rate in (0.0, 0.5):
        dropped = Conditions({"a": torch.zeros(200)}, {"a": absent}, {"a": rate}).drop(Key.range(0, 0, 200)).null["a"]
        assert dropped[:20].all()
        assert not dropped[20:].all()


def test_dropping_is_per_sample_per_condition_and_at_its_rate() -> None:
    count = 20_000
    conditions = Conditions(
        {"a": torch.zeros(count), "b": torch.zeros(count), "c": torch.zeros(count)},
        {name: torch.zeros(count, dtype=torch.bool) for name in "abc"},
        {"a": 0.1, "b": 0.5, "c": 0.0},
    )
    dropped = conditions.drop(Key.range(0, 0, count)).null
    assert dropped["a"].double().mean().item() == pytest.approx(0.1, abs=0.01)
    assert dropped["b"].double().mean().item() == pytest.approx(0.5, abs=0.015)
    assert not dropped["c"].any()
    assert (dropped["a"] & dropped["b"]).double().mean().item() == pytest.approx(0.05, abs=0.01)
    part = Conditions({"a": torch.zeros(5)}, {"a": torch.zeros(5, dtype=torch.bool)}, {"a": 0.5})
    whole = Conditions({"a": torch.zeros(9)}, {"a": torch.zeros(9, dtype=torch.bool)}, {"a": 0.5})
    assert torch.equal(part.drop(Key.range(0, 4, 5)).null["a"], whole.drop(Key.range(0, 0, 9)).null["a"][4:])


def test_a_synonym_names_its_class_where_it_is_the_only_one() -> None:
    names = ("tench, Tinca tinca", "crane, bird", "crane, lifting device", "bird")
    label = ClassLabel("label", 4, names=names)
    for call in (label.encode, label.parse):
        assert [int(call(each)) for each in ("Tinca tinca", "tench", names[1], "bird")] == [0, 0, 1, 3]
        with pytest.raises(UserError, match=r"label=crane: is the name of several classes, 1 \(crane, bird\), 2 "):
            call("crane")
        with pytest.raises(UserError, match="unknown label 'Tinca'; did you mean 'Tinca tinca'"):
            call("Tinca")


def test_a_thousand_names_do_not_make_a_line_of_a_thousand() -> None:
    label = ClassLabel("label", 1000, names=tuple(f"kind {number}, species {number}" for number in range(1000)))
    for wrong in ("zzzz", 1000):
        with pytest.raises(UserError, match="from 0 to 999, or names such as 'kind 0, species 0' and") as refused:
            label.encode(wrong)
        assert len(str(refused.value)) < 200
    with pytest.raises(UserError, match=r"n0, n1, .*, n44 and 60 more$"):
        raise unknown("name", "?", [f"n{number}" for number in range(100)])


def test_classes_are_asked_for_by_name_or_number() -> None:
    label = ClassLabel("label", 3, names=("ape", "bear", "cat"))
    assert [int(label.encode(value)) for value in ("bear", 1, np.int64(1))] == [1, 1, 1]
    assert label.parse("cat") == label.parse("2") == 2
    assert list(label.choices) == [0, 1, 2]
    for call in (label.encode, label.parse):
        with pytest.raises(UserError, match="unknown label 'bare'; did you mean 'bear'"):
            call("bare")
        with pytest.raises(UserError, match="unknown label 'zzz'; labels are whole numbers from 0 to 2, or ape, bear"):
            call("zzz")
    with pytest.raises(UserError, match="whole numbers from 0 to 2, or ape, bear, cat"):
        label.encode(3)
    with pytest.raises(UserError, match="a name of its own for each of 3 classes"):
        ClassLabel("label", 3, names=("a", "b", "b"))
    assert int(ClassLabel("label", 2, names=("1", "0")).encode("0")) == 1, "a name wins over a number"
    assert ClassLabel("label", 2, names=("1", "0")).parse("0") == 1
    assert rebuild_part(describe_part(label), "") == label


def test_an_absent_augmentation_adds_nothing() -> None:
    told = AugmentationLabel("shift", size=2)
    embedder = told.embedder(8, GridTokenizer((2, 2)))
    values = torch.stack([told.encode(None), told.encode((0.0, 0.0)), told.encode((1.0, -0.5)), told.encode((1, 1))])
    vectors = embedder(values, torch.tensor([True, False, False, True]))
    assert vectors.abs().sum(dim=1).gt(0).tolist() == [False, False, True, False]
    assert told.parse("1,0.5") == [1.0, 0.5]
    for wrong in ((1.0,), (float("nan"), 0.0), "ab"):
        with pytest.raises(UserError, match="need 2"):
            told.encode(wrong)
    assert rebuild_part(describe_part(told), "") == told
