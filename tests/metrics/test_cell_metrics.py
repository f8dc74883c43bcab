"""Metrics of cells on a law that is known: the truth, no change, a collapse, one cell, and what lies between."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from beeline.core.data import Example, Metric
from beeline.data.cell_truth import CellTruth
from beeline.metrics.cell_baselines import cell_baselines
from beeline.metrics.cell_effects import Compared, Truth
from beeline.metrics.cell_metrics import kinds_of, own_metrics
from beeline.metrics.energy import squared_energy_distance

CONTEXTS = ["cell_type"]
TRUTH = CellTruth()
SINGLES = TRUTH.perturbations
KNOWN, ASKED = SINGLES[3:], SINGLES[:3]
COUNT = 150


def cells(pairs: list[tuple[tuple[str, ...], str]], seed: int, controls: bool = False) -> list[Example]:
    return [each for pair in pairs for each in TRUTH.examples(*pair, COUNT, seed, controls)]


TRAINING = cells([((), each) for each in TRUTH.types], 1)
TRAINING += cells([((name,), each) for name in SINGLES for each in ("T", "B")], 1)
TRAINING += cells([((name,), "NK") for name in KNOWN], 1)
HELD_OUT = cells([((name,), "NK") for name in ASKED], 2, controls=True)
FRESH = cells([((name,), "NK") for name in ASKED], 3)
LOW = cell_baselines(TRAINING, HELD_OUT, 0, CONTEXTS)
METRICS = {each.name: each for each in own_metrics(TRUTH.gene_names, CONTEXTS, kinds_of(TRAINING, HELD_OUT, CONTEXTS))}


def value(name: str, samples: list[Example]) -> float:
    return METRICS[name].function(TRAINING, HELD_OUT, samples)


def collapsed(samples: list[Example]) -> list[Example]:
    """Every sample at the mean of its pair."""
    found = []
    for place in range(0, len(samples), COUNT):
        group = samples[place : place + COUNT]
        mean = np.mean([each.array for each in group], axis=0)
        found += [replace(each, array=mean) for each in group]
    return found


def test_the_truth_has_the_value_of_the_truth() -> None:
    exact = {
        "W2": 0, "variance ratio": 1, "gene correlation error": 0, "zero share error": 0, "genes detected KS": 0,
        "delta correlation": 1,
        "delta correlation against the mean perturbation": 1, "delta correlation of top 20": 1, "discrimination l1": 1,
        "discrimination l2": 1, "discrimination cosine": 1, "DE overlap at N": 1, "DE overlap at 50": 1,
        "DE precision at N": 1, "DE precision at 50": 1, "DE direction match": 1, "delta spread": 1,
    }  # fmt: skip
    assert set(METRICS) == {*exact, "energy distance", "MMD^2"}
    for name, wanted in exact.items():
        assert value(name, HELD_OUT) == pytest.approx(wanted, abs=1e-6), name


def test_a_fresh_draw_is_near_the_truth_as_far_as_cells_can_tell() -> None:
    assert value("delta correlation", FRESH) > 0.95
    assert value("delta correlation against the mean perturbation", FRESH) > 0.95
    assert value("delta correlation of top 20", FRESH) > 0.95
    assert value("energy distance", FRESH) == pytest.approx(0, abs=0.03)
    assert value("MMD^2", FRESH) == pytest.approx(0, abs=0.003)
    assert value("variance ratio", FRESH) == pytest.approx(1, abs=0.1)
    assert value("zero share error", FRESH) < 0.03
    assert value("genes detected KS", FRESH) < 0.2
    assert value("delta spread", FRESH) == pytest.approx(1, abs=0.1)
    assert value("DE direction match", FRESH) == 1
    for distance in ("l1", "l2", "cosine"):
        assert value(f"discrimination {distance}", FRESH) > 0.95


def test_energy_and_mmd_of_fresh_draws_are_zero_in_the_mean_and_not_only_small() -> None:
    draws = [cells([((name,), "NK") for name in ASKED], 10 + seed) for seed in range(12)]
    for name in ("energy distance", "MMD^2"):
        found = [value(name, each) for each in draws]
        away = [METRICS[name].function(TRAINING, one, other) for one, other in pairwise(draws)]
        assert abs(np.mean(away)) < 4 * np.std(away) / np.sqrt(len(away)) + 1e-4
        assert min(found) < value(name, LOW["control copy"]) / 10


def test_control_copies_predict_nothing_and_are_at_chance() -> None:
    copies = LOW["control copy"]
    assert np.isnan(value("delta correlation", copies)), "no change has no direction"
    assert value("delta spread", copies) == 0
    assert value("discrimination cosine", copies) == pytest.approx(0.5, abs=0.05)
    assert value("DE overlap at N", copies) == 0
    assert value("energy distance", copies) > 0.4


def test_discrimination_in_lengths_is_at_chance_for_no_change_over_all_pairs() -> None:
    """Zero is nearest to the smallest delta: over all pairs the ranks are all ranks."""
    everything = cells([((name,), each) for name in SINGLES for each in TRUTH.types], 4, controls=True)
    controls = cells([((), each) for each in TRUTH.types], 1)
    copies = cell_baselines(controls, everything, 0, CONTEXTS)["control copy"]
    unnamed = {each.name: each for each in own_metrics([], CONTEXTS, {"effects"})}
    for distance in ("l1", "l2", "cosine"):
        found = unnamed[f"discrimination {distance}"].function(controls, everything, copies)
        assert found == pytest.approx(0.5 + 0.5 / 18, abs=1e-9), distance


def test_swapped_answers_are_told_from_right_ones_by_what_is_specific() -> None:
    swapped = [
        replace(each, condition=other.condition)
        for each, other in zip(FRESH, FRESH[COUNT:] + FRESH[:COUNT], strict=True)
    ]
    assert value("discrimination cosine", swapped) < 0.8
    assert value("delta correlation", swapped) < 0.3
    assert value("energy distance", swapped) > 0.5
    assert value("delta spread", swapped) == pytest.approx(1, abs=0.1), "different, though not right"


def test_one_answer_to_all_is_a_collapse() -> None:
    same = [replace(each, condition=other.condition) for each, other in zip(FRESH[:COUNT] * 3, HELD_OUT, strict=True)]
    assert value("delta spread", same) < 0.25, "but for the noise of three means of control cells"


def test_a_constant_cell_at_the_true_mean_is_perfect_in_squared_energy_and_not_in_ours() -> None:
    constant = collapsed(HELD_OUT)
    real, made = (np.stack([each.array for each in some[:COUNT]]) for some in (HELD_OUT, constant))
    assert squared_energy_distance(real, made) == pytest.approx(0, abs=1e-6)
    assert value("energy distance", constant) > 1
    assert value("variance ratio", constant) == pytest.approx(0, abs=1e-6)
    assert value("delta correlation", constant) > 0.999
    assert value("W2", constant) > 3


def test_shifted_control_is_as_good_as_the_truth_where_effects_are_alike_in_all_contexts() -> None:
    shifted = LOW["shifted control"]
    assert value("delta correlation", shifted) > 0.9
    assert value("energy distance", shifted) < value("energy distance", LOW["control copy"]) / 5
    assert value("energy distance", LOW["mean perturbation"]) > value("energy distance", shifted)


def test_the_mean_perturbation_is_not_rewarded_against_itself() -> None:
    """Of perturbations that share a response, the mean alone correlates with every one; less it, nothing is left."""
    random = np.random.default_rng(0)
    shared, own = 3 * random.normal(size=40), random.normal(size=(6, 40))

    def draw(place: int, seed: int) -> list[Example]:
        noise = 0.1 * np.random.default_rng([seed, place + 1]).normal(size=(30, 40))
        mean = np.zeros(40) if place < 0 else shared + own[place]
        names = () if place < 0 else (f"p{place}",)
        return [Example(mean + each, {"perturbation": names, "cell_type": "T"}) for each in noise]

    training = [each for place in range(-1, 6) for each in draw(place, 0)]
    held_out = [each for place in range(6) for each in draw(place, 1)]
    answer = cell_baselines(training, held_out, 0, CONTEXTS)["mean perturbation"]
    metrics = {each.name: each.function for each in own_metrics([], CONTEXTS, {"effects"})}
    assert metrics["delta correlation"](training, held_out, answer) > 0.9
    assert abs(metrics["delta correlation against the mean perturbation"](training, held_out, answer)) < 0.2
    assert metrics["delta correlation against the mean perturbation"](training, held_out, held_out[:]) > 0.99


def test_the_perturbed_gene_itself_does_not_tell() -> None:
    """Answers that know nothing but which gene falls are told by it, and are not once it is left out."""
    blind = []
    for example in HELD_OUT:
        array = example.condition["control"].copy()
        array[TRUTH.gene_names.index(example.condition["perturbation"][0])] = 0.0
        blind.append(replace(example, array=array))
    unnamed = {each.name: each for each in own_metrics([], CONTEXTS, {"effects"})}
    assert unnamed["discrimination cosine"].function(TRAINING, HELD_OUT, blind) > 0.9
    assert value("discrimination cosine", blind) < 0.75


def test_metrics_that_mean_nothing_for_the_data_are_left_out() -> None:
    plain = cells([((), each) for each in TRUTH.types], 5)
    assert kinds_of(plain, plain, CONTEXTS) == {"zeros"}
    names = [each.name for each in own_metrics(TRUTH.gene_names, CONTEXTS, kinds_of(plain, plain, CONTEXTS))]
    assert names == [
        *("energy distance", "MMD^2", "W2", "variance ratio", "gene correlation error", "zero share error"),
        "genes detected KS",
    ]
    perturbed = [each for each in TRAINING if each.condition["perturbation"]]
    assert kinds_of(perturbed, FRESH, CONTEXTS) == {"zeros", "several"}, "no control cells"
    assert kinds_of(perturbed, HELD_OUT, CONTEXTS) == {"zeros", "several", "effects"}, "brought along"
    assert kinds_of(TRAINING, FRESH[:COUNT], CONTEXTS) == {"zeros", "effects"}, "a single pair is held out"
    scaled = [replace(each, array=each.array - 1) for each in plain]
    assert kinds_of(scaled, scaled, CONTEXTS) == set()


def test_cell_types_are_compared_without_any_perturbation() -> None:
    plain, again = (cells([((), each) for each in TRUTH.types], seed) for seed in (5, 6))
    metrics = {each.name: each for each in own_metrics(TRUTH.gene_names, CONTEXTS, ["zeros"])}
    wrong = [replace(each, condition=other.condition) for each, other in zip(again, again[COUNT:] + again[:COUNT],
             strict=True)]  # fmt: skip
    assert abs(metrics["energy distance"].function(plain, plain, again)) < 0.05
    assert metrics["energy distance"].function(plain, plain, wrong) > 1


def test_pairs_without_enough_cells_do_not_count_and_none_at_all_is_not_a_number() -> None:
    some = [*FRESH[: COUNT + 2]]
    assert value("energy distance", some) == pytest.approx(value("energy distance", FRESH[:COUNT]))
    assert np.isnan(value("energy distance", FRESH[:2]))
    assert value("delta correlation", FRESH[:2]) > 0
    assert np.isnan(value("delta spread", FRESH[:5]))


def test_what_was_compared_last_is_remembered_by_the_cells_themselves() -> None:
    first = value("delta correlation", FRESH)
    assert value("delta correlation", list(FRESH)) == first
    changed = [replace(FRESH[0], array=FRESH[0].array + 5), *FRESH[1:]]
    assert value("delta correlation", changed) != first
    other = METRICS["delta correlation"].function(TRAINING, HELD_OUT[: 2 * COUNT], FRESH)
    assert other != first
    assert value("delta correlation", FRESH) == first


def test_every_metric_says_what_it_is_and_which_values_are_better() -> None:
    for metric in METRICS.values():
        assert isinstance(metric, Metric)
        assert "\n" not in metric.formula
    assert METRICS["energy distance"].better == "lower"
    assert METRICS["delta correlation"].better == "higher"
    assert METRICS["variance ratio"].better is None


def test_the_chance_in_which_control_cells_are_brought_is_in_no_delta() -> None:
    random, shift = np.random.default_rng(0), np.linspace(-0.5, 0.5, 200).astype(np.float32)

    def drawn(count: int, perturbation: tuple[str, ...]) -> list[Example]:
        return [Example(each, {"perturbation": perturbation}) for each in random.normal(size=(count, 200))]

    controls = drawn(4000, ())
    asked = [
        Example(each.array, {**each.condition, "control": controls[place % 10].array})
        for place, each in enumerate(drawn(100, ("null",)))
    ]
    follow = [Example(each.condition["control"] + shift, each.condition) for each in asked]
    centre = np.mean([each.array for each in drawn(400, ("null",))], axis=0)
    mean = [Example(centre, each.condition) for each in asked]
    truth = Truth([*controls, *drawn(100, ("null",))], asked, (), ())
    pair = truth.held_out.perturbed[0]
    followed = Compared(truth, follow).delta(pair)
    assert followed is not None
    np.testing.assert_allclose(followed, shift, atol=1e-6)
    assert abs(Compared(truth, mean).correlation(pair)) < 0.25
    few = np.mean([each.condition["control"] for each in asked], axis=0)
    both = [np.mean([each.array for each in side], axis=0) - few for side in (mean, asked)]
    assert np.corrcoef(*both)[0, 1] > 0.9, "what ten control cells subtracted on both sides would give"


def test_sizes_of_cells_are_told_pair_by_pair_and_libraries_only_of_counts() -> None:
    """Every second gene lost: shares of zeros differ by half, and no cell has as many genes as any real one."""
    fewer = [replace(each, array=each.array * (np.arange(TRUTH.genes) % 2)) for each in FRESH]
    assert value("genes detected KS", fewer) == 1
    random = np.random.default_rng(0)
    whole = [
        replace(each, array=TRUTH.counts(each.condition["perturbation"], "NK", 1, random)[0][0].astype(np.float32))
        for each in HELD_OUT
    ]
    assert kinds_of(whole, whole, CONTEXTS) == {"zeros", "several", "counts", "effects"}
    metrics = {each.name: each for each in own_metrics(TRUTH.gene_names, CONTEXTS, ["counts"])}
    deeper = [replace(each, array=10 * each.array) for each in whole]
    assert metrics["library size KS"].function(whole, whole, whole[:]) == 0
    assert metrics["library size KS"].function(whole, whole, deeper) > 0.99
