"""Maps of another grid and scattered observations: from a file to a trained model, and back in the user's own units."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import netcdf_file

import beeline
from beeline.cli.main import run
from beeline.conditioning.field_beside import CoarseField, FieldPoints
from beeline.conditioning.points import Points
from beeline.core.data import name_of
from beeline.core.errors import UserError
from beeline.data.field_beside import among_cells, observations
from beeline.modalities.fields import Fields
from beeline.model.codec import Codec
from tests.conftest import FAST

RANDOM = np.random.default_rng(0)
COUNT, GRID = 12, (8, 12)
LATITUDE, LONGITUDE = np.linspace(57.0, 50.0, 8), 0.5 * np.arange(12) - 3.0
WIND = RANDOM.normal(size=(COUNT, *GRID)).astype(np.float32)
COARSE = WIND.reshape(COUNT, 4, 2, 4, 3).mean(axis=(2, 4))
PLACES = RANDOM.integers(0, (8, 12), size=(COUNT, 5, 2))
STATIONS = np.concatenate(
    [
        np.stack([LATITUDE[PLACES[..., 0]], LONGITUDE[PLACES[..., 1]]], axis=-1),
        WIND[np.arange(COUNT)[:, None], PLACES[..., 0], PLACES[..., 1]][..., None],
    ],
    axis=-1,
)
STATIONS[::2, 3:] = np.nan
ABOUT = {"lat": "degrees_north", "lon": "degrees_east", "clat": "degrees_north", "clon": "degrees_east"}


def written(path: Path, **changes: Any) -> Path:
    """Winds on latitudes that descend, their means over 2 x 3 cells, and at most five stations a sample."""
    columns: dict[str, tuple[tuple[str, ...], Any]] = {
        "lat": (("lat",), LATITUDE),
        "lon": (("lon",), LONGITUDE),
        "clat": (("clat",), LATITUDE.reshape(4, 2).mean(axis=1)),
        "clon": (("clon",), LONGITUDE.reshape(4, 3).mean(axis=1)),
        "wind": (("sample", "lat", "lon"), WIND),
        "mean": (("sample", "clat", "clon"), COARSE),
        "stations": (("sample", "station", "number"), STATIONS),
    } | changes
    with netcdf_file(path, "w") as file:
        for dims, array in columns.values():
            for dim, size in zip(dims, array.shape, strict=True):
                if dim not in file.dimensions:
                    file.createDimension(dim, size)
        for name, (dims, array) in columns.items():
            variable = file.createVariable(name, array.dtype, dims)
            variable[...] = array
            variable.units = ABOUT.get(name, "m/s")
    return path


def options(path: Path, **changes: Any) -> dict[str, Any]:
    given = {"path": str(path), "target": ("wind",), "coarse": ("mean",), "points": ("stations",), "patch": 2}
    return given | {"map_dropout": 0.1} | changes


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few steps, whose data are gone afterwards."""
    path = written(tmp_path_factory.mktemp("data") / "gone.nc")
    given = {f"data.{name}": value for name, value in options(path).items()}
    out = tmp_path_factory.mktemp("run") / "run"
    beeline.train("fields", out, options={**FAST, "train.steps": 4, **given})
    path.unlink()
    return out


def test_a_run_answers_to_files_of_its_coarse_map_and_of_its_stations(trained: Path, tmp_path: Path) -> None:
    """And what is named in a file is what is given as an array; a run stands alone."""
    one = written(
        tmp_path / "one.nc",
        mean=(("clat", "clon"), COARSE[0]),
        stations=(("station", "number"), STATIONS[0]),
    )
    asked = ["--condition", f"mean={one}", "--condition", f"stations={one}:stations", "--steps", "2"]
    assert run(["sample", str(trained), "-n", "2", *asked, "--out", str(tmp_path / "x.nc")]) == 0
    engine = beeline.load(trained)
    samples = np.asarray(engine.sample(2, {"mean": COARSE[0][..., None], "stations": STATIONS[0]}, steps=2))
    with netcdf_file(tmp_path / "x.nc", mmap=False) as answer:
        assert dict(answer.dimensions) == {"realisation": 2, "lat": 8, "lon": 12}
        np.testing.assert_allclose(answer.variables["wind"][:], samples[..., 0], rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(answer.variables["lat"][:], LATITUDE)
    for name, other in (("mean", COARSE[1][..., None]), ("stations", STATIONS[1])):
        changed = {"mean": COARSE[0][..., None], "stations": STATIONS[0], name: other}
        assert not np.array_equal(engine.sample(2, changed, steps=2), samples), name
    np.save(tmp_path / "mean.npy", COARSE[0])
    np.testing.assert_array_equal(
        engine.codec.condition("mean").parse(str(tmp_path / "mean.npy")), COARSE[0][..., None]
    )


def test_answers_to_a_coarse_map_of_another_place_do_not_lie_where_training_lay(trained: Path, tmp_path: Path) -> None:
    moved = written(
        tmp_path / "moved.nc",
        mean=(("clat", "clon"), COARSE[0]),
        clat=(("clat",), LATITUDE.reshape(4, 2).mean(axis=1) - 20),
    )
    assert (
        run(["sample", str(trained), "-n", "1", "--condition", f"mean={moved}", "--out", str(tmp_path / "x.nc")]) == 0
    )
    with netcdf_file(tmp_path / "x.nc", mmap=False) as answer:
        assert "lat" not in answer.variables
        assert "lon" in answer.variables
        assert answer.coordinates_note == b"lat: left out, since mean lies elsewhere than in training"


def test_a_model_knows_what_its_conditions_are_called_and_where_they_lay(trained: Path) -> None:
    record = json.loads((trained / "model.json").read_text())
    coarse, points = (each["arguments"] for each in record["conditions"])
    assert (coarse["variable"], coarse["units"], coarse["directions"]) == ("mean", ["m/s"], [-1, 1])
    assert (coarse["patch"], coarse["extents"]) == ([1, 1], [4, 4])
    assert (points["variable"], points["most"]) == ("stations", 5)
    assert points["coordinates"] == [LATITUDE.tolist(), LONGITUDE.tolist()]


def test_stations_lie_in_the_cells_whose_coordinates_they_name(tmp_path: Path) -> None:
    """Rows of NaN are none; what a network sees is what it would see of places in cells."""
    modality, _ = Fields(**options(written(tmp_path / "f.nc"))).settle(64)
    training = modality.dataset("train")
    codec = Codec.fit(modality, training)
    points = codec.condition("stations")
    assert isinstance(points, FieldPoints)
    plain = Points("stations", 2, mean=points.mean, deviation=points.deviation, most=5)
    for index in range(len(training)):
        sample = int(name_of(training, index).rpartition(" ")[2])
        known = 3 if sample % 2 == 0 else 5
        rows = training[index].condition["stations"]
        assert len(rows) == known
        cells = np.concatenate([PLACES[sample, :known], STATIONS[sample, :known, 2:]], axis=1)
        np.testing.assert_allclose(points.encode(rows), plain.encode(cells), atol=1e-5)
    np.testing.assert_allclose(points.encode(STATIONS[0]), points.encode(STATIONS[0, :3]))
    assert points.encode(np.full((4, 3), np.nan)).shape == (0, 3)


def test_places_go_on_beyond_the_outermost_cells_by_the_outermost_step() -> None:
    places = np.array([[0.0, 10.0], [5.0, 0.0], [-2.0, 25.0], [9.0, -4.0]])
    found = among_cells(places, ((0.0, 2.0, 6.0), (20.0, 10.0, 6.0)))
    np.testing.assert_allclose(found, np.array([[0, 1], [1.75, 3.5], [-1, -0.5], [2.75, 4.5]]))


def test_an_observation_without_a_place_is_refused() -> None:
    rows = np.array([[1.0, 2.0, 3.0, np.nan], [np.nan, 2.0, np.nan, np.nan], [np.nan, 2.0, 3.0, 1.0]])
    assert len(observations(rows[:0], 2, "a")) == 0
    with pytest.raises(UserError, match=r"a: an observation lacks a number \(\[1.0, 2.0, 3.0, nan\]\)"):
        observations(rows[:2], 2, "a")
    with pytest.raises(UserError, match="a: an observation has no place"):
        observations(rows[1:], 2, "a")


@pytest.mark.parametrize(
    ("asked", "file", "message"),
    [
        ({"coarse": ("mean",), "points": ("mean",)}, {}, "maps, coarse, points mean,mean: names one of them twice"),
        ({"coarse": ("men",)}, {}, "unknown variable 'men'; did you mean 'mean'"),
        (
            {},
            {"mean": (("sample", "clat"), COARSE[:, :, 0])},
            r"coarse mean lies on \(sample, clat\), the fields on \(lat, lon\); it needs as many axes",
        ),
        ({}, {"clat": (("clat",), np.linspace(50.5, 56.5, 4))}, "clat runs against lat; turn the map over"),
        (
            {},
            {"clon": (("clon",), np.linspace(-3, 9, 4))},
            r"clon goes from -5 to 11 and lon of the fields from -3\.25 to 2\.75; cut the map to the same ground",
        ),
        (
            {},
            {"mean": (("sample", "clat", "clon"), np.where(COARSE[3, 1, 2] == COARSE, np.nan, COARSE))},
            "1 of 16 numbers of mean are NaN, the first at clat 1, clon 2; fill them in",
        ),
        (
            {"points": ("mean",), "coarse": ()},
            {},
            r"a point lies outside of the data along axis 0, .*; places are coordinates here, whose cells lie from 57",
        ),
        (
            {},
            {"stations": (("sample", "station", "number"), STATIONS[..., :2])},
            r"rows of 2 places \(lat, lon\) and at least one number seen there",
        ),
        (
            {},
            {"stations": (("sample", "station", "number"), np.where(STATIONS > 49, np.nan, STATIONS))},
            r"points stations: an observation has no place \(\[nan, ",
        ),
    ],
)
def test_what_does_not_lie_over_the_fields_is_refused(
    tmp_path: Path, asked: dict[str, Any], file: dict[str, Any], message: str
) -> None:
    path = written(tmp_path / "f.nc", **file)

    def begin() -> None:
        modality, _ = Fields(**options(path, **asked)).settle(64)
        training = modality.dataset("train")
        Codec.fit(modality, training).encode(training[0])

    with pytest.raises(UserError, match=message):
        begin()


def test_units_of_a_coarse_map_are_those_of_training(trained: Path, tmp_path: Path, monkeypatch: Any) -> None:
    coarse = beeline.load(trained).codec.condition("mean")
    assert isinstance(coarse, CoarseField)
    monkeypatch.setitem(ABOUT, "mean", "km/h")
    other = written(tmp_path / "other.nc", mean=(("clat", "clon"), COARSE[0]))
    with pytest.raises(UserError, match=r"mean is in 'km/h' here and was in 'm/s' in training; convert it"):
        coarse.parse(str(other))
    monkeypatch.setitem(ABOUT, "stations", "km/h")
    other = written(tmp_path / "points.nc", stations=(("station", "number"), STATIONS[0]))
    with pytest.raises(UserError, match=r"stations is in 'km/h' here and was in 'm/s' in training; convert it"):
        beeline.load(trained).codec.condition("stations").parse(str(other))
    for name in ("mean", "stations"):
        with pytest.raises(UserError, match=rf"condition {name}=nowhere.nc: no such file; name one with the"):
            beeline.load(trained).codec.condition(name).parse("nowhere.nc")


def test_a_station_outside_of_the_fields_is_told(trained: Path) -> None:
    engine = beeline.load(trained)
    with pytest.raises(UserError, match="condition stations: a point lies outside of the data along axis 0"):
        engine.sample(1, {"stations": np.array([[70.0, 0.0, 1.0]])}, steps=1)
