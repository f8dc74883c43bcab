"""The mean map and the deviation of fields: by channel, and over what was observed of each cell."""

from __future__ import annotations

import numpy as np
import pytest

from beeline.core.data import Example
from beeline.data.field_metrics import own_metrics


def test_a_cell_seen_now_and_then_has_the_mean_of_what_was_seen() -> None:
    """Samples 3 too large everywhere, of which every other cell is hidden at random: 3 deviations of the truth."""
    random = np.random.default_rng(0)
    truth = [Example(each) for each in random.normal(size=(40, 6, 6, 1))]
    deviation = np.std([each.array for each in truth])
    hidden = [np.where(random.random((6, 6, 1)) < 0.5, each.array, np.nan) for each in truth]
    mean = next(metric for metric in own_metrics(["u"]) if metric.name == "u mean map error")
    moved = [Example(np.full((6, 6, 1), 3.0) * (1 + 0 * each)) for each in hidden]
    still = [Example(0 * each) for each in hidden]
    wanted = [np.sqrt(np.mean((value - np.mean([each.array for each in truth], axis=0)) ** 2)) for value in (3.0, 0.0)]
    assert mean.function(truth, truth, moved) == pytest.approx(wanted[0] / deviation)
    assert mean.function(truth, truth, still) == pytest.approx(wanted[1] / deviation)


def test_each_channel_is_compared_with_itself() -> None:
    truth = np.random.default_rng(0).normal(size=(20, 4, 4, 2)) * np.array([1.0, 10.0])
    wider = [Example(each * np.array([2.0, 3.0])) for each in truth]
    sets = [Example(each) for each in truth]
    found = {metric.name: metric.function(sets, sets, wider) for metric in own_metrics(["u", "v"])}
    assert found["u deviation ratio"] == pytest.approx(2.0)
    assert found["v deviation ratio"] == pytest.approx(3.0)
    for place, (name, factor) in enumerate((("u", 1.0), ("v", 2.0))):
        apart = factor * truth[..., place].mean(axis=0)
        wanted = np.sqrt(np.mean(apart**2)) / truth[..., place].std()
        assert found[f"{name} mean map error"] == pytest.approx(wanted)
