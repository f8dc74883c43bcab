"""Where fields lie: coordinates of answers, lengths, axes that close, times with calendars, maps that lack an axis."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import netcdf_file

import beeline
from beeline.cli.main import run
from beeline.core.data import Example
from beeline.core.errors import UserError
from beeline.data.field_description import FieldAxis, FieldChannel, FieldDescription
from beeline.data.field_output import classic_bytes, labelled
from beeline.generate.engine import Samples
from beeline.generate.write import check_output, write_samples
from beeline.modalities.fields import Fields
from tests.conftest import FAST

RANDOM = np.random.default_rng(0)
COUNT = 6
FIELD = RANDOM.normal(size=(COUNT, 8, 6)).astype(np.float32)
LATITUDE, LONGITUDE = np.linspace(50, 43, 8), np.linspace(0, 5, 6)


def write(path: Path, **changes: Any) -> Path:
    """A netCDF file of a field u over a map z, as changed: dims, numbers, attributes, or None to leave one out."""
    columns: dict[str, Any] = {
        "lat": (("lat",), LATITUDE, {"units": "degrees_north", "standard_name": "latitude"}),
        "lon": (("lon",), LONGITUDE, {"units": "degrees_east"}),
        "z": (("sample", "lat", "lon"), 100 * FIELD, {"units": "m"}),
        "u": (("sample", "lat", "lon"), FIELD, {"units": "°C"}),
    } | changes
    with netcdf_file(path, "w") as file:
        for dims, array, _ in [column for column in columns.values() if column is not None]:
            for dim, size in zip(dims, np.shape(array), strict=True):
                if dim not in file.dimensions:
                    file.createDimension(dim, size)
        for name, column in columns.items():
            if column is not None:
                dims, array, attributes = column
                variable = file.createVariable(name, np.asarray(array).dtype, dims)
                variable[...] = array
                for key, value in attributes.items():
                    setattr(variable, key, value.encode())
    return path


def modality(path: Path, **changes: Any) -> Fields:
    return Fields(**({"path": str(path), "target": ("u",), "maps": ("z",), "sample_dims": ("sample",)} | changes))


def place(path: Path, latitude: Any = LATITUDE, longitude: Any = LONGITUDE, **changes: Any) -> Path:
    """A file of one map at those places."""
    about = {"units": "degrees_north"}
    named = {"lat": (("lat",), latitude, about), "lon": (("lon",), longitude, {"units": "degrees_east"})}
    return write(path, **(named | {"u": None, "z": (("lat", "lon"), 100 * FIELD[0], {"units": "m"})} | changes))


def answer(fields: Fields, *values: Any) -> Any:
    samples = [Example(FIELD[0][..., None], {"z": value}) for value in values]
    return labelled(samples, fields._known, {})


def test_answers_lie_where_their_maps_do(tmp_path: Path) -> None:
    fields = modality(write(tmp_path / "f.nc"))
    (condition,) = fields.conditions()
    here = condition.parse(str(place(tmp_path / "here.nc")))
    there = condition.parse(str(place(tmp_path / "there.nc", LATITUDE - 60, LONGITUDE + 100)))
    bare = condition.parse(str(place(tmp_path / "bare.nc", lat=None, lon=None)))
    assert np.asarray(there).shape == (8, 6, 1)
    for values in ((there,), (there, there)):
        whole = answer(fields, *values)
        assert whole.coordinates["lat"][0].tolist() == (LATITUDE - 60).tolist()
        assert whole.coordinates["lon"][0].tolist() == (LONGITUDE + 100).tolist()
        assert whole.coordinates["lat"][1]["units"] == "degrees_north"
    assert answer(fields, here).attributes == {}
    for other in (here, bare, None):
        both = answer(fields, other, there)
        assert set(both.coordinates) <= {"sample", "realisation"}
        assert "lat: left out, since the samples do not all lie at one" in both.attributes["coordinates_note"]
    assert answer(fields, here, bare).coordinates["lat"][0].tolist() == LATITUDE.tolist()
    assert answer(fields, None).attributes == {}
    unknown = answer(fields, bare)
    assert unknown.coordinates["lat"][0].tolist() == LATITUDE.tolist()
    assert "lat: that of training; maps were given without" in unknown.attributes["coordinates_note"]
    assert answer(fields, np.array(there)).attributes == unknown.attributes


def fitted(path: Path, **changes: Any) -> Any:
    fields = modality(path, **changes)
    (condition,) = fields.conditions()
    return condition.fit([each.condition["z"] for each in fields.dataset("train")])


def said(condition: Any, *values: Any) -> list[str]:
    taken = [condition.taken(each) for each in values]
    assert all(each is None or np.isfinite(condition.encode(each).numpy()).all() for each in taken)
    return list(condition.remarks(taken))


@pytest.mark.parametrize("shown", ["values", "anomaly", "gradient"])
def test_a_map_in_other_units_is_told(shown: str, tmp_path: Path) -> None:
    columns = {"z": (("sample", "lat", "lon"), 5e4 + 100 * FIELD, {"units": "m2 s-2"})}
    condition = fitted(write(tmp_path / "f.nc", **columns), show_maps=shown)
    usual = 5e4 + 100 * FIELD[0][..., None]
    assert said(condition, None, usual, usual + 200) == []
    (line,) = said(condition, usual, usual / 9.81, usual / 9.81)
    assert "condition z: a map goes from" in line
    assert "m2 s-2, up to " in line
    assert "deviations from training maps, whose mean is 5" in line
    spike = usual.copy()
    spike[2, 3] += 1500
    assert len(said(condition, spike)) == 1, "a single number is enough"


def test_units_that_a_file_could_have_told_are_told_to_be_taken_as_those_of_training(tmp_path: Path) -> None:
    condition = fitted(write(tmp_path / "f.nc"))
    untold = write(tmp_path / "untold.nc", u=None, z=(("lat", "lon"), 100 * FIELD[0], {}))
    assert said(condition, str(untold)) == [f"condition z={untold}: units not told, taken as m"]
    told = write(tmp_path / "told.nc", u=None, z=(("lat", "lon"), 100 * FIELD[0], {"units": "m"}))
    np.save(tmp_path / "z.npy", 100 * FIELD[0])
    assert said(condition, str(told), str(tmp_path / "z.npy"), 100 * FIELD[0]) == []
    unknown = fitted(write(tmp_path / "g.nc", z=(("sample", "lat", "lon"), 100 * FIELD, {})))
    assert said(unknown, str(untold)) == []


def test_a_map_of_swapped_sizes_is_told_where_nothing_names_its_axes(tmp_path: Path) -> None:
    condition = fitted(write(tmp_path / "f.nc"))
    np.save(tmp_path / "z.npy", 100 * FIELD[0].T)
    (line,) = said(condition, str(tmp_path / "z.npy"))
    assert line.startswith("condition z: a map of 6x8 cells is taken as (lat, lon), and those of training had 8x6;")
    assert said(condition, 100 * FIELD[0], np.tile(100 * FIELD[0], (2, 1))) == []


def test_an_array_without_a_channel_axis_is_a_map_as_its_file_is(tmp_path: Path) -> None:
    condition = fitted(write(tmp_path / "f.nc"))
    np.save(tmp_path / "z.npy", FIELD[0])
    bare, from_file = condition.taken(FIELD[0]), condition.taken(str(tmp_path / "z.npy"))
    assert bare.shape == from_file.shape == (8, 6, 1)
    assert condition.encode(bare).equal(condition.encode(from_file))
    assert condition.taken(FIELD[0][..., None]).shape == (8, 6, 1)


def test_a_dataset_is_its_variable_of_that_name_or_its_only_one(tmp_path: Path) -> None:
    xarray = pytest.importorskip("xarray")
    condition = fitted(write(tmp_path / "f.nc"))
    grid = {"lat": LATITUDE, "lon": LONGITUDE}
    z = xarray.DataArray(100 * FIELD[0], grid, ("lat", "lon"), attrs={"units": "m"})
    wanted = condition.taken(z)
    for dataset in ({"z": z}, {"height": z}, {"z": z, "other": 2 * z}):
        np.testing.assert_array_equal(condition.taken(xarray.Dataset(dataset)), wanted)
    with pytest.raises(UserError, match=r"condition z: the Dataset holds a, b; give one array of it, .*dataset\['a'\]"):
        condition.taken(xarray.Dataset({"a": z, "b": z}))
    with pytest.raises(UserError, match="condition z: the Dataset holds no variable"):
        condition.taken(xarray.Dataset())


def test_a_pickle_of_objects_is_refused_in_words_of_this_house(tmp_path: Path) -> None:
    path = tmp_path / "objects.npy"
    np.save(path, np.array([1, "a", None], dtype=object))
    for read in (fitted(write(tmp_path / "f.nc")).taken, lambda text: modality(Path(text)).conditions()):
        with pytest.raises(UserError, match=r"objects\.npy: holds Python objects, not numbers; save an array"):
            read(str(path))


def test_a_run_answers_in_the_region_of_its_condition(tmp_path: Path) -> None:
    path = write(tmp_path / "f.nc")
    options = {**FAST, "train.steps": 2, "data.path": str(path), "data.target": ("u",), "data.maps": ("z",)}
    out = tmp_path / "run"
    beeline.train("fields", out, options={**options, "data.sample_dims": ("sample",), "data.patch": 2})
    record = json.loads((out / "model.json").read_text())
    there = place(tmp_path / "there.nc", LATITUDE - 60, LONGITUDE + 100)
    asked = ["sample", str(out), "-n", "2", "--condition", f"z={there}", "--steps", "1", "--out"]
    assert run([*asked, str(tmp_path / "x.nc")]) == 0
    with netcdf_file(tmp_path / "x.nc", mmap=False) as file:
        assert file.variables["lat"][:].tolist() == (LATITUDE - 60).tolist()
        assert file.variables["u"].units.decode() == "°C"
    write(path, u=(("sample", "lat", "lon"), FIELD + np.float32(1e-3), {"units": "°C"}))
    with pytest.raises(UserError, match="the training split names other examples, or other contents"):
        beeline.train(out=out, resume=True, options={"train.steps": 4})
    write(path)
    beeline.train(out=out, resume=True, options={"train.steps": 4})
    assert json.loads((out / "model.json").read_text())["training"] == record["training"]


def test_lengths_are_those_of_one_unit_or_cells(tmp_path: Path) -> None:
    def along(name: str, values: Any) -> dict[str, Any]:
        return {name: ((name,), values, {"units": "degrees_east"})}

    gaussian = LATITUDE + 0.008 * np.sin(np.arange(8))
    for change, spacing, unit in (
        ({}, (1, 1), "degree"),
        (along("lat", 3 * LATITUDE), (3, 1), "degree"),
        (along("lat", LATITUDE**2) | along("lon", 4 * LONGITUDE), (np.nan, 4), "degree"),
        ({"lat": (("lat",), LATITUDE, {"units": "hours"})}, (1, 1), ""),
        (along("lat", gaussian), (1, 1), "degree"),
    ):
        fields = modality(write(tmp_path / "f.nc", **change))
        geometry = fields.geometry()
        assert geometry.length_unit == unit
        np.testing.assert_allclose(geometry.spacing, spacing, rtol=5e-3)
    assert any(note.startswith("lat: steps differ from their mean, ") for note in fields._found.notes)


def test_times_keep_their_calendar(tmp_path: Path) -> None:
    time = {"units": "days since 2000-01-01", "calendar": "noleap", "standard_name": "time", "long_name": "day"}
    changes: dict[str, Any] = {name: (("sample", "lat", "lon"), FIELD, {}) for name in "uz"}
    fields = modality(write(tmp_path / "f.nc", lat=(("lat",), np.arange(8.0), time), **changes))
    known = fields._known.axes[0]
    assert (known.calendar, known.standard_name, known.long_name) == ("noleap", "time", "day")
    (tmp_path / "x.nc").write_bytes(classic_bytes(answer(fields, FIELD[0][..., None])))
    with netcdf_file(tmp_path / "x.nc", mmap=False) as file:
        assert {key: value.decode() for key, value in file.variables["lat"]._attributes.items()} == time


@pytest.mark.parametrize(
    ("longitude", "changes", "message"),
    [
        (
            np.linspace(0, 360, 6),
            {"periodic": ("lon",)},
            r"periodic lon: its 6 cells span 432 degrees from 0 to 360, .*isel\(lon=slice\(None, -1\)\)",
        ),
        (
            np.array([350, 355, 0, 5, 10, 15.0]),
            {},
            r"lon turns back between 355 and 0 .*\.assign_coords\(lon=\(lon - 350\) % 360 \+ 350\)",
        ),
        (np.zeros(6), {}, r"coordinate lon turns back between 0 and 0 \(places 0, 1\)"),
        (np.arange(6) * 60.0, {"periodic": ("lon",), "patch": 4}, r"lon is periodic and its 6 cells .*; 1, 2, 3, 6 do"),
        (LONGITUDE, {"log_parameters": ("age",)}, "parameters: missing, though age are named"),
        (LONGITUDE, {"parameter_names": ("age",)}, "parameters: missing, though age are named"),
    ],
)
def test_axes_and_options_that_do_not_fit_are_refused(
    longitude: Any, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "f.nc", lon=(("lon",), longitude, {"units": "degrees_east"}))
    with pytest.raises(UserError, match=message):
        modality(path, **changes).settle(64)


def test_a_circle_without_its_closing_cell_closes(tmp_path: Path) -> None:
    for size in (6, 720):
        array = np.zeros((2, 2, size), dtype=np.float32)
        lon = (("lon",), np.float32(np.arange(size) * 360 / size), {"units": "degrees_east"})
        both: dict[str, Any] = {name: (("sample", "lat", "lon"), array, {}) for name in "uz"}
        path = write(tmp_path / f"{size}.nc", lat=None, lon=lon, **both)
        assert modality(path, periodic=("lon",))._known.axes[1].length == pytest.approx(360)


def test_a_patch_that_leaves_next_to_nothing_is_refused(tmp_path: Path) -> None:
    array = np.zeros((3, 47, 53), dtype=np.float32)
    np.savez(tmp_path / "f.npz", u=array)
    whole = Fields(str(tmp_path / "f.npz"), ("u",), periodic=("all",))
    with pytest.raises(UserError, match=r"patch: about 40 tokens .* that divides the periodic axis_1 \(47 cells"):
        whole.settle(40)
    assert whole.settle(64)[0].patch == (47, 1)


def test_a_map_that_lacks_an_axis_is_asked_for_as_it_was_given(tmp_path: Path) -> None:
    first, solution = RANDOM.normal(size=(5, 16)), RANDOM.normal(size=(5, 17, 16))
    np.savez(tmp_path / "b.npz", x=first, y=solution)
    fields = Fields(str(tmp_path / "b.npz"), ("y",), ("x",), dims=("y=sample time x", "x=sample x"))
    (condition,) = fields.conditions()
    wanted = fields.dataset("train")[0].condition["x"]
    index = next(index for index in range(5) if np.array_equal(first[index], wanted[0, :, 0]))
    np.savez(tmp_path / "one.npz", x=first[index])
    np.save(tmp_path / "one.npy", first[index])
    np.save(tmp_path / "row.npy", first[index][None])
    for name in ("one.npz:x", "one.npy", "row.npy"):
        np.testing.assert_array_equal(condition.parse(str(tmp_path / name)), wanted)


def test_maps_of_several_channels_need_no_axis_of_samples(tmp_path: Path) -> None:
    z = RANDOM.normal(size=(4, 9, 7, 2))
    np.savez(tmp_path / "f.npz", y=RANDOM.normal(size=(4, 9, 7)), z=z)
    dims = ("y=sample y x", "z=sample y x channel")
    (condition,) = Fields(str(tmp_path / "f.npz"), ("y",), ("z",), dims=dims).conditions()
    for place_, array in enumerate((z[0], z[:1], np.moveaxis(z[0], -1, 0), np.moveaxis(z[:1], -1, 1))):
        np.savez(tmp_path / f"{place_}.npz", z=array)
        np.save(tmp_path / f"{place_}.npy", array)
        for name in (f"{place_}.npz", f"{place_}.npy"):
            np.testing.assert_array_equal(condition.parse(str(tmp_path / name)), z[0])
    np.save(tmp_path / "all.npy", 1.0)
    with pytest.raises(UserError, match=r"has the shape \(\); need one map"):
        condition.parse(str(tmp_path / "all.npy"))
    np.save(tmp_path / "all.npy", z)
    with pytest.raises(UserError, match=r"has the shape \(4, 9, 7, 2\); need one map, an axis for each of y, x and"):
        condition.parse(str(tmp_path / "all.npy"))


def test_text_of_any_language_is_written_and_what_is_too_large_is_told(tmp_path: Path) -> None:
    known = FieldDescription((FieldAxis("Δx", 2, "µm", (1.0, 2.0)),), (FieldChannel("ψ", "°C"),))
    whole = labelled([Example(np.zeros((2, 1), dtype=np.float32))], known, {"author": "Zoë Müller 物理"})
    (tmp_path / "x.nc").write_bytes(classic_bytes(whole))
    fields = Fields(str(tmp_path / "x.nc"), ("ψ",), sample_dims=("sample",))
    assert fields._known.axes[0].name == "Δx"
    assert (fields._known.axes[0].units, fields._known.channels[0].units) == ("µm", "°C")
    large = np.broadcast_to(np.float32(0), (2**20, 2**10))
    whole.variables["ψ"] = (("sample", "Δx"), large, "")
    with pytest.raises(UserError, match="ψ: 4 GiB are more than the 2 that a variable of classic netCDF holds"):
        classic_bytes(whole)


def test_what_was_drawn_is_kept_where_its_own_format_cannot_hold_it(tmp_path: Path) -> None:
    path = write(tmp_path / "f.nc")
    samples = Samples([Example(np.zeros((size, 6, 1), dtype=np.float32)) for size in (8, 9)], {"seed": 7})
    with pytest.raises(UserError, match=r"samples have several shapes, .*; the samples are in .*x\.npz"):
        write_samples(modality(path), samples, tmp_path / "x.nc")
    assert json.loads((tmp_path / "x.provenance.json").read_text()) == {"seed": 7}
    with np.load(tmp_path / "x.npz") as kept:
        assert {name: kept[name].shape for name in kept} == {"sample_00000": (8, 6, 1), "sample_00001": (9, 6, 1)}


@pytest.mark.parametrize("ending", [".zarr", ".h5", ".hdf5", ".nc4", ".cdf"])
def test_endings_of_formats_that_are_not_written_are_refused(ending: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"samples are written as \.png, \.npz, \.nc or into a folder"):
        check_output(tmp_path / f"a{ending}", (".png", ".npz", ".nc"))
