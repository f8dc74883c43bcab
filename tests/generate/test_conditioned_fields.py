"""Fields that answer to a map, a coarse map, scattered points and named numbers: trained, opened again, and larger."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beeline.cli.train import train
from beeline.core.errors import InputWarning, UserError
from beeline.generate.load import load
from tests.conftest import FAST

FILE = '''
from dataclasses import dataclass

import numpy as np

import beeline


@dataclass(frozen=True)
class Torus:
    """y = gain under + 0.3 n on a torus; averages of y and three of its cells are seen as well."""

    patch: int = 4

    def dataset(self, split):
        random = np.random.default_rng(int(split == "train"))
        return [self.draw(random, index) for index in range(256 if split == "train" else 16)]

    def draw(self, random, index):
        under = waves(random)
        gain = random.uniform(0.5, 2.0)
        array = gain * under + 0.3 * random.normal(size=under.shape)
        cells = random.integers(0, 16, size=(3, 2))
        condition = {
            "under": under,
            "law": {"gain": gain, "age": random.uniform(1, 100) if index % 4 else None},
            "coarse": array.reshape(4, 4, 4, 4, 1).mean(axis=(1, 3)),
            "seen": np.concatenate([cells, array[cells[:, 0], cells[:, 1]]], axis=1),
        }
        return beeline.Example(array, condition)

    def normaliser(self):
        return beeline.Standardise()

    def tokenizer(self):
        return beeline.GridTokenizer((self.patch,) * 2, periodic=(True, True))

    def conditions(self):
        return [
            beeline.AlignedMap("under"),
            beeline.Parameters("law", ("gain", "age"), log=("age",)),
            beeline.CoarseMap("coarse", (1, 1), dropout=0.1),
            beeline.Points("seen", 2, dropout=0.1),
        ]

    def metrics(self):
        return []

    def preview(self, samples):
        return beeline.image_grid([beeline.scalar_image(each.array[..., 0], -4, 4) for each in samples])


def waves(random):
    rows, columns = np.meshgrid(np.arange(16) / 16, np.arange(16) / 16, indexing="ij")
    parts = [np.cos(2 * np.pi * (i * rows + j * columns + random.random())) for i in (0, 1, 2) for j in (1, 2)]
    return np.tensordot(random.normal(size=len(parts)), parts, 1)[..., None]


MODALITY = Torus
'''


@pytest.fixture(scope="module")
def torus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    folder = tmp_path_factory.mktemp("torus")
    (folder / "torus.py").write_text(FILE)
    options = {**FAST, "train.batch_size": 16, "train.steps": 120, "train.checkpoint_every": 120}
    options |= {"train.held_out_every": 0, "model.positions": "rotary", "train.log_every": 30}
    engine = load(train(str(folder / "torus.py"), folder / "run", options=options))
    return engine, engine.modality.dataset("held_out")


def agreement(samples: Any, wanted: Any) -> float:
    return float(np.corrcoef(np.ravel(samples), np.ravel(wanted))[0, 1])


def test_a_map_says_what_a_larger_field_is(torus: tuple[Any, Any]) -> None:
    """Trained at 16x16, asked for 32x32 by repeating the map: every part answers to its own map."""
    engine, held_out = torus
    under = [each.condition["under"] for each in held_out[:4]]
    small = engine.sample(4, {"under": under, "law": (2.0, None)}, steps=4)
    large = engine.sample(4, {"under": [np.tile(each, (2, 2, 1)) for each in under], "law": (2.0, None)}, steps=4)
    assert large.shape == (4, 32, 32, 1)
    tiles = [large[:, i : i + 16, j : j + 16] for i in (0, 16) for j in (0, 16)]
    assert agreement(small, under) > 0.8
    for tile in tiles:
        assert agreement(tile, under) > 0.8
        assert abs(agreement(tile, under[::-1])) < 0.5, "and not to another"
        assert tile.std() == pytest.approx(small.std(), rel=0.3)


def test_the_domain_of_training_is_its_own_shape_and_no_other_where_places_are_attended_to(
    torus: tuple[Any, Any],
) -> None:
    engine, held_out = torus
    under = [each.condition["under"] for each in held_out[:4]]
    same: dict[str, Any] = {"n": 4, "condition": {"under": under, "law": (2.0, None)}, "steps": 2}
    assert np.array_equal(engine.sample(**same), engine.sample(**same, domain="trained"))
    with pytest.raises(UserError, match="domain trained: the condition coarse is attended to by its place"):
        engine.sample(4, shape=(32, 32), steps=2, domain="trained")


def test_what_is_attended_to_and_named_numbers_reach_the_samples(torus: tuple[Any, Any]) -> None:
    engine, held_out = torus
    known = dict(held_out[0].condition)
    base = engine.sample(1, known, steps=2)
    for name, value in {
        "law": {**known["law"], "gain": 0.6},
        "coarse": known["coarse"] + 1,
        "seen": known["seen"] + np.array([0, 0, 3.0]),
    }.items():
        assert np.abs(engine.sample(1, {**known, name: value}, steps=2) - base).max() > 1e-3, name
        without = {each: known[each] for each in known if each != name}
        assert np.abs(engine.sample(1, without, steps=2) - base).max() > 1e-3, f"{name} has a null"
    shuffled = engine.sample(1, {**known, "seen": known["seen"][::-1]}, steps=2)
    np.testing.assert_allclose(shuffled, base, rtol=0, atol=1e-4)
    each = engine.sample(2, {name: [known[name], held_out[1].condition[name]] for name in known}, steps=2, batch_size=2)
    np.testing.assert_allclose(each[0], base[0], rtol=0, atol=1e-4)
    several = engine.sample(2, {**known, "seen": [known["seen"], known["seen"][:1]]}, steps=2)
    np.testing.assert_allclose(several[0], base[0], rtol=0, atol=1e-4)
    assert engine.sample(1, known, steps=2, cfg_scale=2.0).shape == (1, 16, 16, 1)


def test_a_number_outside_of_the_trained_range_is_told_and_a_missing_one_taken(torus: tuple[Any, Any]) -> None:
    engine, held_out = torus
    under = held_out[0].condition["under"]
    with pytest.warns(
        InputWarning, match=r"law: gain = 5 lies outside of what the model was trained on, 0\.\d+ to"
    ) as told:
        engine.sample(2, {"under": under, "law": {"gain": 5.0}}, steps=1)
    assert len(told) == 1
    with pytest.raises(UserError, match="parameter gain is missing and never was in training"):
        engine.sample(1, {"under": under, "law": {"age": 5.0}}, steps=1)


def test_packing_and_augmentation_with_what_is_attended_to_are_refused(torus: tuple[Any, Any]) -> None:
    folder = Path(torus[0].origin["model"]).parents[1]
    with pytest.raises(UserError, match=r"train\.packing: samples attend to condition coarse"):
        train(str(folder / "torus.py"), folder / "packed", options={**FAST, "train.packing": True, "train.steps": 2})
