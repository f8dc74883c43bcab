"""Cheap answers: exact where their assumption holds, off by what is planted where it does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from beeline.core.data import Example
from beeline.data.cell_truth import CellTruth
from beeline.metrics.cell_baselines import cell_baselines
from beeline.metrics.cell_pairs import CellTable, Pair, pair_of

Array = np.ndarray[Any, Any]
CONTEXTS = ["cell_type"]
TRUTH = CellTruth()
FIRST, SECOND, THIRD = TRUTH.perturbations[:3]


def cell(value: Array | list[float], perturbation: tuple[str, ...], cell_type: str, **more: Any) -> Example:
    return Example(np.asarray(value, dtype=np.float32), {"perturbation": perturbation, "cell_type": cell_type, **more})


def exact(truth: CellTruth, pairs: list[tuple[tuple[str, ...], str]]) -> list[Example]:
    """One cell at the true mean of each pair."""
    return [cell(truth.mean(*pair), *pair) for pair in pairs]


def test_what_is_asked_decides_which_baselines_there_are() -> None:
    everything = exact(TRUTH, [((), "T"), ((FIRST,), "T"), ((SECOND,), "T"), ((), "B")])
    asked = [cell(np.zeros(60), (FIRST,), "B"), cell(np.zeros(60), (FIRST, SECOND), "B")]
    features = {FIRST: np.array([1.0, 0.0]), SECOND: np.array([0.0, 1.0])}
    found = cell_baselines(everything, asked, 0, CONTEXTS, features)
    assert set(found) == {
        "control copy", "shifted control", "shifted control, cut at 0", "training mean", "mean perturbation",
        "additive", "ridge", "resampled cells",
    }  # fmt: skip
    for examples in found.values():
        assert [each.condition for each in examples] == [each.condition for each in asked]
        assert all(each.array.dtype == np.float32 and each.array.shape == (60,) for each in examples)
    singles = cell_baselines(everything, asked[:1], 0, CONTEXTS)
    assert set(found) - set(singles) == {"additive", "ridge"}
    unseen = cell_baselines(everything, [cell(np.zeros(60), (THIRD,), "B")], 0, CONTEXTS)
    assert "shifted control" not in unseen
    no_control = cell_baselines(everything[1:3], asked, 0, CONTEXTS)
    assert set(no_control) == {"training mean", "resampled cells"}
    types = cell_baselines([cell([1, 2], (), "T"), cell([3, 4], (), "B")], [cell([0, 0], (), "B")], 0, CONTEXTS)
    assert set(types) == {"training mean", "resampled cells"}, "no perturbation is asked for"
    assert types["training mean"][0].array.tolist() == [3, 4]
    assert types["resampled cells"][0].array.tolist() == [3, 4]


def test_shifted_control_is_exact_where_effects_are_alike_in_all_contexts_and_off_where_they_are_not() -> None:
    known: list[tuple[tuple[str, ...], str]] = [((), "T"), ((), "B"), ((), "NK"), ((FIRST,), "T"), ((FIRST,), "NK")]
    for specific in (0.0, 0.5):
        law = CellTruth(specific=specific)
        asked = [cell(np.zeros(60), (FIRST,), "B")]
        found = cell_baselines(exact(law, known), asked, 0, CONTEXTS)["shifted control"][0].array
        off = np.abs(found - law.mean((FIRST,), "B")).max()
        assert off < 1e-5 if specific == 0 else off > 0.2
        expected = law.mean((), "B") + (law.delta((FIRST,), "T") + law.delta((FIRST,), "NK")) / 2
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_shifts_go_below_zero_unless_they_are_cut() -> None:
    training = [cell([4, 1], (), "T"), cell([1, 2], ("a",), "T"), cell([2, 1], (), "B")]
    found = cell_baselines(training, [cell([9, 9], ("a",), "B")], 0, CONTEXTS)
    assert found["shifted control"][0].array.tolist() == [-1, 2]
    assert found["shifted control, cut at 0"][0].array.tolist() == [0, 2]


@pytest.mark.parametrize("interaction", [0.0, 1.0])
def test_additive_is_exact_without_interaction_and_off_by_it_else(interaction: float) -> None:
    law = CellTruth(interaction=interaction)
    training = exact(law, [((), "B"), ((FIRST,), "B"), ((SECOND,), "B")])
    found = cell_baselines(training, [cell(np.zeros(60), (SECOND, FIRST), "B")], 0, CONTEXTS)["additive"][0].array
    planted = law.delta((FIRST, SECOND), "B") - law.delta((FIRST,), "B") - law.delta((SECOND,), "B")
    np.testing.assert_allclose(law.mean((FIRST, SECOND), "B") - found, planted, atol=1e-5)


def test_singles_that_were_not_seen_in_a_context_are_taken_from_others() -> None:
    training = exact(TRUTH, [((), "B"), ((), "T"), ((FIRST,), "B"), ((SECOND,), "T")])
    found = cell_baselines(training, [cell(np.zeros(60), (FIRST, SECOND), "B")], 0, CONTEXTS)["additive"][0].array
    np.testing.assert_allclose(found, TRUTH.mean((FIRST, SECOND), "B"), atol=1e-5)


def test_mean_perturbation_weighs_perturbations_and_not_cells() -> None:
    training = [cell([1, 1], (), "T"), *[cell([2, 1], ("a",), "T")] * 9, cell([1, 5], ("b",), "T")]
    found = cell_baselines(training, [cell([0, 0], ("c",), "T")], 0, CONTEXTS)
    np.testing.assert_allclose(found["mean perturbation"][0].array, [1.5, 3.0])
    np.testing.assert_allclose(found["training mean"][0].array, [1.9, 1.4], rtol=1e-6)
    seen = cell_baselines(training, [cell([0, 0], ("b",), "B", control=np.array([0.0, 0.0]))], 0, CONTEXTS)
    np.testing.assert_allclose(seen["training mean"][0].array, [1, 5])
    np.testing.assert_allclose(seen["mean perturbation"][0].array, [0.5, 2.0]), "of all contexts, as B has none"


def test_ridge_predicts_unseen_perturbations_from_features_that_tell_their_effects() -> None:
    random = np.random.default_rng(0)
    features = {f"p{number}": random.normal(size=3) for number in range(40)}
    weights = random.normal(size=(3, 25))
    training = [cell(np.zeros(25), (), "T")]
    training += [cell(features[f"p{number}"] @ weights, (f"p{number}",), "T") for number in range(39)]
    asked = [cell(np.zeros(25), ("p39",), "T"), cell(np.zeros(25), ("p38", "p39"), "T")]
    found = [each.array for each in cell_baselines(training, asked, 0, CONTEXTS, features)["ridge"]]
    assert np.corrcoef(found[0], features["p39"] @ weights)[0, 1] > 0.99
    assert np.corrcoef(found[1], (features["p38"] + features["p39"]) @ weights)[0, 1] > 0.99
    without = {name: feature for name, feature in features.items() if name != "p39"}
    assert "ridge" not in cell_baselines(training, asked, 0, CONTEXTS, without)


def test_controls_are_those_that_a_question_brings_or_drawn_from_its_context_by_seed_and_number() -> None:
    training = [cell([number, 0], (), "T") for number in range(50)] + [cell([1, 1], ("a",), "T")]
    training += [cell([-9, 0], (), "B")] * 50
    asked = [cell([0, 0], ("a",), "T") for _ in range(400)]
    drawn, again, other = (
        [float(each.array[0]) for each in cell_baselines(training, asked, seed, CONTEXTS)["control copy"]]
        for seed in (0, 0, 1)
    )
    assert drawn == again != other
    assert set(drawn) <= set(range(50))
    assert np.mean(drawn) == pytest.approx(24.5, abs=4 * 14.4 / 20)
    fewer = cell_baselines(training, asked[:7], 0, CONTEXTS)["control copy"]
    assert [float(each.array[0]) for each in fewer] == drawn[:7], "a draw depends on the number of the sample alone"
    brought = [cell([0, 0], ("a",), "T", control=np.array([7.0, 7.0]))]
    assert cell_baselines(training, brought, 0, CONTEXTS)["control copy"][0].array.tolist() == [7, 7]


def test_resampled_cells_are_of_the_pair_or_of_the_perturbation_elsewhere_or_of_any() -> None:
    training = [cell([1, 0], ("a",), "T"), cell([2, 0], ("a",), "NK"), cell([3, 0], ("b",), "B"), cell([4, 0], (), "B")]

    def values(perturbation: str) -> set[float]:
        asked = [cell([0, 0], (perturbation,), "B")] * 60
        return {float(each.array[0]) for each in cell_baselines(training, asked, 0, CONTEXTS)["resampled cells"]}

    assert values("b") == {3.0}
    assert values("a") == {1.0, 2.0}
    assert values("unseen") == {1.0, 2.0, 3.0}


def test_another_dose_is_another_pair_and_stands_in_where_one_was_never_seen() -> None:
    """In T the change is 1 and 3 at the doses of a, 5 at that of b; in NK 2 at the lower dose of a."""
    two: dict[str, Any] = {"a": 0.5, "b": 2.0}
    assert pair_of({"perturbation": dict(reversed(two.items())), "cell_type": "T"}, CONTEXTS).name == "a=0.5 + b=2, T"
    assert pair_of({"perturbation": {}, "cell_type": "T"}, CONTEXTS) == Pair((), ("T",))
    assert pair_of({"perturbation": {"a": np.float32(0.1)}}, []) == Pair(("a",), (), (0.1,))

    def dosed(value: float, cell_type: str, **doses: float) -> Example:
        return Example(np.array([value, 0.0], np.float32), {"perturbation": doses, "cell_type": cell_type})

    training = [dosed(0, each) for each in ("T", "NK", "B")]
    training += [dosed(1, "T", a=0.5), dosed(3, "T", a=1), dosed(2, "NK", a=0.5), dosed(5, "T", b=1)]
    assert sorted(pair.name for pair in CellTable(training, CONTEXTS).perturbed) == [
        *("a=0.5, NK", "a=0.5, T", "a=1, T", "b=1, T")
    ]
    asked = [dosed(0, "B", a=0.5), dosed(0, "B", a=1), dosed(0, "B", a=4), dosed(0, "NK", a=1, b=1), dosed(0, "T", a=1)]
    features = {"a": np.array([1.0, 0.0]), "b": np.array([0.0, 1.0])}
    found = {
        name: [float(each.array[0]) for each in examples]
        for name, examples in cell_baselines(training, asked, 0, CONTEXTS, features).items()
    }
    assert found["shifted control"] == [1.5, 3.0, 2.0, 2.0, 2.0], "of a new pair the mean of the context, in NK 2"
    assert found["training mean"] == [1.5, 3.0, 2.0, pytest.approx(11 / 4), 3.0]
    assert found["additive"][3] == 3.0 + 5.0, "that dose in another context before another dose in that context"
    assert set(found["resampled cells"][1::3]) == {3.0}


def test_pairs_are_sets_and_deltas_weigh_cells_alike() -> None:
    assert pair_of({"perturbation": ("b", "a"), "cell_type": "T"}, CONTEXTS) == Pair(("a", "b"), ("T",))
    assert pair_of({"cell_type": "T"}, CONTEXTS) == Pair((), ("T",))
    assert pair_of({"perturbation": "JAK2", "cell_type": "T"}, CONTEXTS).name == "JAK2, T"
    assert pair_of({"perturbation": ("b", "a")}, []).name == "a + b"
    cells = CellTable([cell([1, 0], (), "T"), cell([3, 0], (), "T"), cell([5, 1], ("a",), "T")], CONTEXTS)
    assert cells.deltas() == {Pair(("a",), ("T",)): pytest.approx([3.0, 1.0])}
    bringing = CellTable([cell([5, 1], ("a",), "T", control=np.array([4.0, 1.0]))], CONTEXTS)
    assert bringing.deltas() == {Pair(("a",), ("T",)): pytest.approx([1.0, 0.0])}
    assert CellTable([cell([5, 1], ("a",), "T")], CONTEXTS).deltas() == {}
