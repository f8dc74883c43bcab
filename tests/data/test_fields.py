"""Gridded files as samples: what a file says is kept, what does not fit is refused in one line, with how to mend it."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import netcdf_file

from beeline.conditioning.field_map import FieldMap
from beeline.core.errors import UserError
from beeline.data.field_checks import is_time
from beeline.data.field_choice import FieldWishes, find_fields
from beeline.data.field_description import FieldDescription
from beeline.data.field_sets import FieldSet, FoundFields
from beeline.data.field_stores import guessed_dims
from beeline.data.unit_spelling import same_units
from beeline.evaluate.sets import read_sets

Columns = Mapping[str, tuple[tuple[str, ...], Any, dict[str, Any]]]
RANDOM = np.random.default_rng(0)
MONTH, LEVEL, LATITUDE, LONGITUDE = [1, 7], [200, 850], np.linspace(60, 30, 5), np.arange(0, 360, 60)
HEIGHT = RANDOM.uniform(1e4, 1.2e5, (2, 2, 5, 6))
WIND = RANDOM.normal(0, 10, (2, 2, 5, 6)).astype(np.float32)
GRID = ("month", "level", "latitude", "longitude")


def winds() -> dict[str, tuple[tuple[str, ...], Any, dict[str, Any]]]:
    """Two months and two levels of a packed height and two winds, latitude from north to south."""
    scale, offset = 2.0, 7e4
    return {
        "month": (("month",), np.array(MONTH, dtype=np.int32), {}),
        "level": (("level",), np.array(LEVEL, dtype=np.int32), {"units": "hPa"}),
        "latitude": (("latitude",), LATITUDE, {"units": "degrees_north"}),
        "longitude": (("longitude",), LONGITUDE.astype(np.float64), {"units": "degrees_east"}),
        "z": (
            GRID,
            np.rint((HEIGHT - offset) / scale).astype(np.int16),
            {"units": "m2 s-2", "scale_factor": scale, "add_offset": offset, "_FillValue": np.int16(-32768)},
        ),
        "u": (GRID, WIND, {"units": "m s-1"}),
        "v": (GRID, 2 * WIND, {"units": "m s-1"}),
    }


def write(path: Path, variables: Columns) -> Path:
    """A netCDF file of the classic format."""
    with netcdf_file(path, "w") as file:
        for dims, array, _ in variables.values():
            for dim, size in zip(dims, np.shape(array), strict=True):
                if dim not in file.dimensions:
                    file.createDimension(dim, size)
        for name, (dims, array, attributes) in variables.items():
            variable = file.createVariable(name, np.asarray(array).dtype, dims)
            variable[...] = array
            for key, value in attributes.items():
                setattr(variable, key, value)
    return path


def asked(path: Path, **changes: Any) -> FoundFields:
    names: dict[str, Any] = {"maps": ("z",), "parameters": ("month", "level"), "group": ("month", "level")}
    return find_fields(FieldWishes(path, ("u", "v"), **(names | {"sample_dims": ("month", "level")} | changes)))


def every(found: FoundFields) -> FieldSet:
    return FieldSet(found, np.arange(len(found)))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "winds.nc", winds())


def test_packed_numbers_are_physical_and_axes_units_and_groups_are_those_of_the_file(file: Path) -> None:
    found = asked(file, periodic=("longitude",))
    example = every(found)[1]
    assert example.array.dtype == np.float32
    np.testing.assert_array_equal(example.array, np.stack([WIND[0, 1], 2 * WIND[0, 1]], axis=-1))
    np.testing.assert_allclose(example.condition["z"][..., 0], HEIGHT[0, 1], atol=1.01)
    assert example.condition["params"] == [1, 850]
    assert example.group == "month=1,level=850"
    known = found.description
    assert [(axis.name, axis.size, axis.units, axis.periodic) for axis in known.axes] == [
        ("latitude", 5, "degrees_north", False),
        ("longitude", 6, "degrees_east", True),
    ]
    assert known.axes[0].coordinate == tuple(LATITUDE)
    assert known.axes[1].length == 360
    assert [(each.name, each.units) for each in known.channels] == [("u", "m s-1"), ("v", "m s-1")]
    assert known.maps[0].channels[0].units == "m2 s-2"
    assert [each.units for each in known.parameters] == ["", "hPa"]
    assert FieldDescription.read(known.text()) == known
    assert "latitude descends from 60 to 30 and is kept so, in samples too" in found.notes


@pytest.mark.parametrize("ending", [".nc", ".zarr", ".h5"])
def test_netcdf_4_zarr_and_hdf5_say_what_the_classic_file_says(ending: str, file: Path, tmp_path: Path) -> None:
    """Written by the libraries of each format, packed numbers, dimension scales and units among them."""
    xarray = pytest.importorskip("xarray")
    variables = {
        name: (dims, array, {key: value for key, value in attributes.items() if key != "_FillValue"})
        for name, (dims, array, attributes) in winds().items()
    }
    coordinates = {name: variables.pop(name) for name in GRID}
    path = tmp_path / f"winds{ending}"
    dataset = xarray.Dataset(variables, coordinates)
    encoding = {"z": {"_FillValue": np.int16(-32768)}}
    if ending == ".zarr":
        dataset.to_zarr(path, encoding=encoding, consolidated=False)
    else:
        dataset.to_netcdf(path, engine="h5netcdf", encoding=encoding)
    found, classic = asked(path), asked(file)
    assert found.description == classic.description
    assert found.samples == classic.samples
    for own, other in zip(every(found), every(classic), strict=True):
        np.testing.assert_array_equal(own.array, other.array)
        assert own.group == other.group
        for name, value in other.condition.items():
            np.testing.assert_array_equal(own.condition[name], value)


def test_blocks_are_parts_of_groups_that_no_split_knows(file: Path) -> None:
    """One held-out group has no interval; parts of it that are as good as independent give one."""
    found = asked(file, group=("month",), blocks=("level",))
    training, held_out = found.split(0.5, None)
    assert [found.group(index) for index in held_out] == [found.group(int(held_out[0]))] * 2, "a group is whole"
    blocks = [each.group for each in every(found)]
    assert blocks == ["month=1,level=200", "month=1,level=850", "month=7,level=200", "month=7,level=850"]
    sets = read_sets(FieldSet(found, training), FieldSet(found, held_out))
    assert sets.groups.tolist() == [0, 1]
    assert sets.held_out_numbers.tolist() == [0, 1]
    thinned = replace(sets, counts={**sets.counts, "held_out": 48, "held_out_cap": 16})
    assert thinned.held_out_numbers.tolist() == list(range(0, 48, 3))
    assert set(FieldSet(found, held_out).whole_groups()) == {found.group(int(held_out[0]))}
    assert sets.counts["intervals"] == f"redraw 2 held-out groups, such as {blocks[int(held_out[0])]}"
    assert FieldDescription.read(found.description.text()) == found.description


def test_a_coarse_map_is_taken_by_the_names_of_its_axes(tmp_path: Path) -> None:
    fields, coarse = np.random.default_rng(0).normal(size=(3, 8, 8)), np.arange(48.0).reshape(3, 4, 4)
    np.savez(tmp_path / "f.npz", u=fields, low=coarse)
    wishes = FieldWishes(tmp_path / "f.npz", ("u",), coarse=("low",), dims=("u=sample y x", "low=sample x y"))
    found = find_fields(wishes)
    np.testing.assert_array_equal(every(found)[1].condition["low"][..., 0], coarse[1].T)


def test_a_missing_packed_number_is_not_a_number(tmp_path: Path) -> None:
    variables = winds()
    variables["z"][1][1, 0, 2, 3] = -32768
    found = asked(write(tmp_path / "winds.nc", variables))
    assert len(every(found)[1].array)
    with pytest.raises(UserError) as caught:
        every(found)[2]
    assert str(caught.value) == (
        "winds.nc month=7,level=200 (sample 2): 1 of 30 numbers of z are NaN, the first at latitude 2, longitude 3; "
        "fill them in, and give what is missing as a map of its own"
    )


def test_nan_in_the_target_is_refused_or_masked(tmp_path: Path) -> None:
    variables = winds()
    wind = WIND.copy()
    wind[0, 0, 1, 4:] = np.nan
    variables["v"] = (GRID, wind, {})
    path = write(tmp_path / "winds.nc", variables)
    with pytest.raises(UserError, match=r"2 of 30 numbers of v are NaN, the first at latitude 1, longitude 4; fill"):
        every(asked(path))[0]
    example = every(asked(path, masked=True))[0]
    assert example.observed is not None
    assert np.argwhere(~example.observed).tolist() == [[1, 4, 1], [1, 5, 1]]
    assert every(asked(path, masked=True))[1].observed is None


@pytest.mark.parametrize("suffix", [".nc", ".npz", "stored.npz", ".npy"])
def test_a_set_is_read_when_asked_for_and_survives_being_sent_away(suffix: str, tmp_path: Path) -> None:
    path, wide = tmp_path / f"file{suffix}", np.tile(WIND[0], (1, 20, 20))
    names: tuple[str, ...] = ("z", "u")
    if suffix == ".nc":
        write(path, {name: (("sample", "y", "x"), wide, {}) for name in names})
    elif suffix == ".npy":
        np.save(path, wide)
        names = ("file",)
    else:
        (np.savez if suffix == "stored.npz" else np.savez_compressed)(path, z=wide, u=wide)
    found = find_fields(FieldWishes(path, names[-1:], names[:-1]))
    assert np.array_equal(every(found)[1].array[..., 0], wide[1])
    sent = pickle.dumps(every(found))
    assert len(sent) < 5000
    for one, other in zip(pickle.loads(sent), every(found), strict=True):
        assert np.array_equal(one.array, other.array)
        assert all(np.array_equal(each, other.array) for each in one.condition.values())


def test_leave_one_group_out_by_value(file: Path) -> None:
    found = asked(file)
    training, held_out = found.split(0.2, "month=1,level=850")
    assert (training.tolist(), held_out.tolist()) == ([0, 2, 3], [1])
    assert found.split(0.2, "level=850")[1].tolist() == [1, 3]
    assert found.split(0.2, "month=1,level=200; month=7,level=850")[1].tolist() == [0, 3]
    for text, message in (
        ("month=3", "no sample has month = 3; there are 1, 7"),
        ("moon=1", "name groups by month, level, such as month=1,level=200"),
        ("month=1;month=7", "leaves no sample to train on"),
    ):
        with pytest.raises(UserError, match=message):
            found.split(0.2, text)
    with pytest.raises(UserError, match=r"no group is named; say what tells groups apart, --data\.group"):
        asked(file, group=()).split(0.2, "month=1")


def test_without_a_group_every_sample_is_its_own_and_shared_parameters_are_told(tmp_path: Path) -> None:
    numbers = np.repeat(np.arange(4.0), 3)[:, None]
    np.savez(tmp_path / "f.npz", y=RANDOM.normal(size=(12, 8, 8)), p=numbers)
    found = find_fields(FieldWishes(tmp_path / "f.npz", ("y",), parameters=("p",)))
    assert every(found)[7].group == "sample 7"
    assert any("each of 12 samples is taken as its own, though they share 4 sets of" in note for note in found.notes)
    grouped = find_fields(FieldWishes(tmp_path / "f.npz", ("y",), parameters=("p",), group=("p_0",)))
    assert len({every(grouped)[index].group for index in range(12)}) == 4


def test_a_map_that_lacks_an_axis_is_the_same_along_it(tmp_path: Path) -> None:
    first, solution = RANDOM.normal(size=(3, 16)), RANDOM.normal(size=(3, 17, 16))
    np.savez(tmp_path / "b.npz", x=first, y=solution)
    with pytest.raises(UserError) as caught:
        find_fields(FieldWishes(tmp_path / "b.npz", ("y",), ("x",)))
    assert "x lies on (axis_1 16) and y on (axis_1 17, axis_2 16), which is another grid" in str(caught.value)
    assert "--data.dims 'y=sample y x,x=sample x'" in str(caught.value)
    wishes = FieldWishes(tmp_path / "b.npz", ("y",), ("x",), dims=("y=sample time x", "x=sample x"))
    condition = every(find_fields(wishes))[2].condition["x"]
    np.testing.assert_array_equal(condition[..., 0], np.broadcast_to(first[2].astype(np.float64), (17, 16)))


@pytest.mark.parametrize(
    ("shape", "dims"),
    [
        ((128, 2, 64, 64), "sample channel axis_1 axis_2"),
        ((128, 64, 64, 3), "sample axis_1 axis_2 channel"),
        ((50, 32, 32, 32), "sample axis_1 axis_2 axis_3"),
        ((800, 17, 16), "sample axis_1 axis_2"),
        ((9, 1, 40), "sample channel axis_1"),
        ((9, 40), "sample axis_1"),
        ((9, 4, 16, 16, 16), "sample channel axis_1 axis_2 axis_3"),
    ],
)
def test_axes_without_names_are_guessed(shape: tuple[int, ...], dims: str) -> None:
    assert " ".join(guessed_dims(shape)) == dims


def _changed(name: str, **parts: Any) -> Callable[[], Columns]:
    def made() -> Columns:
        variables = winds()
        dims, array, attributes = variables[name]
        given = parts.get("array", array)
        return {**variables, name: (parts.get("dims", dims), given, attributes | parts.get("attributes", {}))}

    return made


@pytest.mark.parametrize(
    ("variables", "changes", "message"),
    [
        (winds, {"maps": ("zz",)}, r"winds\.nc: unknown variable 'zz'; did you mean 'z'"),
        (winds, {"sample_dims": ("moth",)}, r"sample_dims: unknown axis 'moth'; did you mean 'month'"),
        (winds, {"sample_dims": ()}, r"u lies on \(month, level, .*; say which of these number the samples"),
        (winds, {"parameters": ("lvl",)}, r"unknown coordinate or variable 'lvl'; did you mean 'level'"),
        (winds, {"group": ("latitude",)}, r"latitude lies on \(latitude\); a sample needs one value of it"),
        (winds, {"periodic": ("lon",)}, r"periodic lon: the fields lie on \(latitude, longitude\)"),
        (winds, {"box": (1.0, -2.0)}, r"box 1, -2: need a length above 0 for each of"),
        (winds, {"units": ("m/s",)}, r"units m/s: the target has 2 channels; give one for each"),
        (
            _changed("z", dims=("month", "level", "y", "x"), array=np.zeros((2, 2, 3, 3), dtype=np.float32)),
            {},
            r"z lies on \(y 3, x 3\) and u on \(latitude 5, longitude 6\), which is another grid; .*interp_like",
        ),
        (
            _changed("latitude", array=np.array([60, 50, 55, 40, 30.0])),
            {},
            r"coordinate latitude turns back between 50 and 55 \(places 1, 2\); sort .*sortby\('latitude'\)",
        ),
        (
            _changed("longitude", array=np.array([0, 1, 2, 5, 6, 7.0]), attributes={"units": "days since 2000-01-01"}),
            {},
            r"longitude has a gap, the first between 2 and 5 \(steps 2, 3\), where a step is 1 elsewhere",
        ),
    ],
)
def test_what_does_not_fit_is_refused(
    variables: Callable[[], Columns], changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "winds.nc", variables())
    with pytest.raises(UserError, match=message) as caught:
        asked(path, **changes)
    assert "\n" not in str(caught.value)


def test_numbers_that_are_not_real_are_refused_and_whole_ones_are_told(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "f.npz", c=np.ones((4, 8, 8), dtype=complex), t=np.full((4, 8, 8), "a"), i=np.eye(8, dtype=int)[None]
    )
    with pytest.raises(UserError, match=r"c holds complex numbers \(complex128\); write real and imaginary part"):
        find_fields(FieldWishes(tmp_path / "f.npz", ("c",)))
    with pytest.raises(UserError, match=r"t holds <U1, not numbers"):
        find_fields(FieldWishes(tmp_path / "f.npz", ("t",)))
    found = find_fields(FieldWishes(tmp_path / "f.npz", ("i",)))
    assert "i holds int64 numbers, taken as float64" in found.notes
    assert every(found)[0].array.dtype == np.float64


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("winds.nc", b"CDF\x01 and then nothing", r"winds\.nc: not readable"),
        ("winds.npz", b"PK no more", r"winds\.npz: not readable"),
        ("winds.npy", b"", r"winds\.npy: not readable"),
        ("winds.nc", b"text", r"winds\.nc: is no file of fields; need \.nc, \.zarr"),
    ],
)
def test_a_damaged_file_is_named(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        asked(tmp_path / name)


@pytest.mark.parametrize(("name", "package"), [("f.nc", "xarray"), ("f.h5", "h5py"), ("f.zarr", "xarray")])
def test_a_missing_package_is_named_with_its_extra(
    name: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, package, None)
    if name.endswith("zarr"):
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(UserError, match=rf"needs the package {package}; pip install 'beeline\[fields\]'"):
        asked(tmp_path / name)


def fitted_map(file: Path) -> FieldMap:
    known = asked(file).description
    return FieldMap(
        "z", units=("m2 s-2",), dims=known.dims, directions=tuple(axis.direction for axis in known.axes)
    ).fit([every(asked(file))[index].condition["z"] for index in range(4)])


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("lead", {"units": "hours"}),
        ("step_number", {"units": "h"}),
        ("forecast_day", {"units": "days"}),
        ("valid_time", {"units": "minutes"}),
        ("step", {"standard_name": "forecast_period"}),
        ("tau", {"axis": "T"}),
        ("tau", {"units": "hours", "dtype": "timedelta64[ns]"}),
    ],
)
def test_times_by_any_name_have_no_gaps(name: str, attributes: dict[str, str], tmp_path: Path) -> None:
    def cut(steps: list[float], about: dict[str, str]) -> Path:
        field = RANDOM.normal(size=(6, len(steps), 4)).astype(np.float32)
        columns: Columns = {name: ((name,), np.array(steps), about), "u": (("sample", name, "x"), field, {})}
        return write(tmp_path / "steps.nc", columns)

    gappy = [0, 1, 2, 4, 5, 6.0]
    with pytest.raises(UserError, match=rf"{name} has a gap, the first between 2 and 4"):
        find_fields(FieldWishes(cut(gappy, attributes), ("u",), sample_dims=("sample",)))
    known = find_fields(FieldWishes(cut([0, 1, 2, 3.0], attributes), ("u",), sample_dims=("sample",))).description
    assert is_time(known.axes[0])
    assert not is_time(known.axes[1])
    uneven = find_fields(FieldWishes(cut(gappy, {"units": "m"}), ("u",), sample_dims=("sample",))).description
    assert not is_time(uneven.axes[0])


def test_differences_of_times_are_times(tmp_path: Path) -> None:
    step = np.array([0, 6, 12, 24]).astype("m8[h]")
    np.savez(tmp_path / "steps.npz", u=RANDOM.normal(size=(6, 4, 5)).astype(np.float32), step=step)
    dims = ("u=sample step x", "step=step")
    with pytest.raises(UserError, match="step has a gap, the first between 12 and 24"):
        find_fields(FieldWishes(tmp_path / "steps.npz", ("u",), sample_dims=("sample",), dims=dims))


def test_a_condition_is_read_from_a_file_like_those_of_training(file: Path, tmp_path: Path) -> None:
    one = {name: each for name, each in winds().items() if name in ("latitude", "longitude")}
    packed = winds()["z"]
    sample = write(tmp_path / "one.nc", {**one, "z": (GRID[2:], packed[1][0, 1], packed[2])})
    np.testing.assert_allclose(fitted_map(file).parse(str(sample))[..., 0], HEIGHT[0, 1], atol=1.01)
    turned = write(tmp_path / "turned.nc", {**one, "hgt": (GRID[:1:-1], packed[1][0, 1].T, packed[2])})
    np.testing.assert_allclose(fitted_map(file).parse(f"{turned}:hgt")[..., 0], HEIGHT[0, 1], atol=1.01)
    np.save(tmp_path / "one.npy", HEIGHT[0, 1][..., None])
    np.testing.assert_array_equal(fitted_map(file).parse(str(tmp_path / "one.npy"))[..., 0], HEIGHT[0, 1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"z": {"units": "m"}}, r"z is in 'm' here and was in 'm2 s-2' in training; convert it"),
        (
            {"latitude": LATITUDE[::-1]},
            r"latitude ascends here and descended in training; turn .*slice\(None, None, -1",
        ),
        ({"dims": ("month", *GRID[2:])}, r"z has 2 entries along month; write one of them .*isel\(month=0\)"),
        ({"dims": ("y", "x")}, r"z lies on \(y, x\) here and lay on \(latitude, longitude\) in training; rename"),
    ],
)
def test_a_condition_of_other_units_or_axes_is_refused(
    change: dict[str, Any], message: str, file: Path, tmp_path: Path
) -> None:
    dims = change.get("dims", GRID[2:])
    variables: dict[str, Any] = {
        "latitude": (("latitude",), np.array(change.get("latitude", LATITUDE)), {}),
        "z": (dims, HEIGHT[0, 1] if len(dims) == 2 else HEIGHT[0], change.get("z", {"units": "m**2 s**-2"})),
    }
    with pytest.raises(UserError, match=message):
        fitted_map(file).parse(str(write(tmp_path / "one.nc", variables)))


def other_units() -> list[tuple[str, str]]:
    plain = [("0.1 m", "1.0 m"), ("10 m", "1 m"), ("m/s", "s/m"), ("K", "k"), ("kg/m2 s", "kg m-2 s-1")]
    return [*plain, ("%", "1"), ("days since 2000-01-01", "days since 2001-01-01"), ("m-s", "m s"), ("m^", "m")]


def test_units_are_compared_by_what_they_say() -> None:
    for one, other in (
        ("m/s", "m s-1"),
        ("m s**-1", "m s-1"),
        ("m2 s-2", "m**2 s**-2"),
        ("", "K"),
        ("kg m^-3", "kg/m3"),
        ("1/s", "s-1"),
        ("m/s/s", "m/s2"),
        ("kg/(m2 s)", "kg m-2 s-1"),
        ("kg m-2/s", "kg/m2/s"),
        ("degrees_north", "degree_N"),
        ("m s^{-1}", "m/s"),
        ("m s⁻¹", "m·s^(-1)"),
        ("metres per second", "m/s"),
        ("0.1 m", "1e-1 m"),
        ("10^-3 kg", "0.001 kg"),
        ("days since 2000-01-01", "days  since 2000-01-01"),
    ):
        assert same_units(one, other), (one, other)
    for one, other in (("m", "m2"), ("K", "degC"), ("hPa", "Pa"), ("m s-1", "m s"), *other_units()):
        assert not same_units(one, other), (one, other)


def test_the_real_tiles_are_read_as_their_card_says(real_data: Callable[[str], Path]) -> None:
    path = real_data("reanalysis_winds") / "tiles_64.npz"
    names = ("month", "level", "latitude", "longitude")
    wishes = FieldWishes(path, ("target",), ("condition",), ("params",), names, group=("month", "level"))
    found = find_fields(wishes)
    example = every(found)[127]
    with np.load(path) as arrays:
        np.testing.assert_array_equal(example.array, np.moveaxis(arrays["target"][127], 0, -1))
        np.testing.assert_array_equal(example.condition["condition"][..., 0], arrays["condition"][127, 0])
        assert example.condition["params"] == arrays["params"][127].tolist()
    assert {found.group(index) for index in range(128)} == {f"month={m},level={k}" for m in MONTH for k in LEVEL}


def test_netcdf_4_needs_xarray_and_is_read_as_the_tiles_are(real_data: Callable[[str], Path]) -> None:
    folder = real_data("reanalysis_winds")
    try:
        import xarray  # noqa: F401
    except ImportError:
        pytest.skip("xarray is not installed (pip install 'beeline[fields]')")
    found = asked(folder / "era_interim_uvz_200_850.nc")
    example = every(found)[0]
    assert example.array.shape == (241, 480, 2)
    with np.load(folder / "tiles_64.npz") as arrays:
        np.testing.assert_allclose(
            example.array[:64, :64], np.moveaxis(arrays["target"][0], 0, -1), rtol=1e-4, atol=1e-3
        )
