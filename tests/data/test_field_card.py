"""The card of a file of fields: each number is of the column that it names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from beeline.data.field_sets import PARAMETERS
from beeline.modalities.fields import Fields

RANDOM = np.random.default_rng(0)
COUNT = 12


def test_every_column_of_maps_points_and_parameters_has_its_own_numbers(tmp_path: Path) -> None:
    """Columns 10 apart: places of points are no numbers seen there, and a missing parameter is no value of its own."""
    wind = RANDOM.normal(size=(COUNT, 6, 4))
    ground = RANDOM.normal(size=(COUNT, 6, 4, 2)) + np.array([10.0, 20.0])
    coarse = RANDOM.normal(size=(COUNT, 3, 2, 2)) + np.array([30.0, 40.0])
    seen = RANDOM.normal(size=(COUNT, 5, 2)) + np.array([50.0, 60.0])
    places = RANDOM.integers(0, (6, 4), size=(COUNT, 5, 2))
    stations = np.concatenate([places, seen], axis=-1)
    law = np.stack([np.arange(COUNT) % 3, np.arange(COUNT)], axis=1).astype(float)
    law[::2, 0] = np.nan
    path = tmp_path / "fields.npz"
    np.savez(path, wind=wind, ground=ground, coarse=coarse, stations=stations, law=law)
    fields = Fields(
        path=str(path), target=("wind",), maps=("ground",), coarse=("coarse",), points=("stations",),
        parameters=("law",), parameter_names=("month", "level"), patch=2, held_out=0.25,
        dims=(
            "wind=sample y x", "ground=sample y x channel", "coarse=sample cy cx channel",
            "stations=sample station number", "law=sample number",
        ),
    )  # fmt: skip
    card = fields.card()
    training = [fields.dataset("train")[index] for index in range(len(fields.dataset("train")))]
    for kind, name, first in (("maps", "ground", 0), ("coarse", "coarse", 0), ("points", "stations", 2)):
        rows = [each.condition[name] for each in training]
        means = [np.mean([row[..., place].mean() for row in rows]) for place in (first, first + 1)]
        assert [about["mean"] for about in card[kind].values()] == pytest.approx(means)
        assert means[1] - means[0] == pytest.approx(10.0, abs=1.0)
    asked = np.array([each.condition[PARAMETERS] for each in training])
    known = asked[~np.isnan(asked[:, 0]), 0]
    assert card["parameters"]["month"] == {
        "least": known.min(), "largest": known.max(), "distinct": len(set(known)), "missing": len(asked) - len(known),
    }  # fmt: skip
