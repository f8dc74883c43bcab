"""Numbers and texts as files store them: missing, packed, unsigned, of another byte order, as bytes or dates."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from scipy.io import netcdf_file

from beeline.core.errors import UserError
from beeline.data.field_choice import FieldWishes, find_fields
from beeline.data.field_files import open_store
from beeline.data.field_sets import FieldSet, FoundFields
from beeline.data.field_stores import unpacked

RANDOM = np.random.default_rng(0)
FIELD = RANDOM.normal(size=(4, 6, 5)).astype(np.float32)


def found_in(path: Path, **changes: Any) -> FoundFields:
    return find_fields(FieldWishes(path, **({"target": ("y",)} | changes)))


def saved(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "f.npz", **({"y": FIELD} | arrays))
    return folder / "f.npz"


def test_a_missing_value_of_another_dtype_is_missing_all_the_same() -> None:
    raw = np.array([1, 1e20, 2], dtype=np.float32)
    for filler in (np.float64(1e20), np.float32(1e20), np.array([1e20, -9e33]), "1e20"):
        np.testing.assert_array_equal(unpacked(raw, {"missing_value": filler}), [1, np.nan, 2])
    wide = unpacked(raw.astype(np.float64), {"_FillValue": np.float32(1e20)})
    np.testing.assert_array_equal(wide, [1, np.nan, 2])
    whole = np.array([1, -999, 2], dtype=np.int16)
    np.testing.assert_array_equal(unpacked(whole, {"missing_value": -999.0}), [1, np.nan, 2])
    assert unpacked(whole, {"missing_value": 1e20, "_FillValue": 70000, "valid_min": "none"}) is whole


def test_bytes_that_are_said_to_be_unsigned_are() -> None:
    raw = np.array([1, -1, -2], dtype=np.int8)
    packed = {"_Unsigned": "true", "scale_factor": 0.5, "_FillValue": np.int8(-2)}
    np.testing.assert_array_equal(unpacked(raw, packed), [0.5, 127.5, np.nan])
    np.testing.assert_array_equal(unpacked(raw, {"_Unsigned": "true", "_FillValue": 255}), [1, np.nan, 254])
    np.testing.assert_array_equal(unpacked(raw.view(np.uint8), {"_Unsigned": "false"}), [1, -1, -2])


@pytest.mark.parametrize("dtype", [">f8", "<f8", ">i4", "i8", "u4"])
def test_numbers_that_float32_would_round_stay_whole(dtype: str, tmp_path: Path) -> None:
    array = (16777217 + np.arange(4 * 6 * 5).reshape(4, 6, 5)).astype(dtype)
    example = FieldSet(found_in(saved(tmp_path, y=array)), np.arange(4))[1]
    assert example.array.dtype == np.float64
    np.testing.assert_array_equal(example.array[..., 0], array[1].astype(np.float64))


def test_groups_are_told_apart_to_the_last_digit(tmp_path: Path) -> None:
    days = 20180101 + np.arange(4)
    close = np.array([0.1, np.nextafter(np.float32(0.1), np.float32(1)), 200, -0.0], dtype=np.float32)
    path = saved(tmp_path, day=days, close=close)
    for name, texts in (("day", list(map(str, days))), ("close", ["0.1", "0.10000001", "200", "0"])):
        found = found_in(path, group=(name,))
        assert [found.group(index) for index in range(4)] == [f"{name}={text}" for text in texts]
        for index, text in enumerate((*texts[:3], "0.0" if name == "close" else f"{texts[3]}.0")):
            assert found.split(0.2, f"{name}={text}")[1].tolist() == [index]


def test_texts_and_dates_tell_groups_apart(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    names = ["nord", "süd", "nord", "007"]
    dates = np.array(["2018-01-01", "2018-01-02", "2018-01-01", "2018-01-03"], dtype="datetime64[D]")
    path = saved(tmp_path, region=np.array([each.encode() for each in names]), date=dates)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["y"], file["region"], file["fixed"] = FIELD, names, np.char.encode(names, "utf-8")
    for where, column in ((path, "region"), (tmp_path / "f.h5", "region"), (tmp_path / "f.h5", "fixed")):
        found = found_in(where, group=(column,))
        assert [found.group(index) for index in range(4)] == [f"{column}={name}" for name in names]
        assert found.split(0.2, f"{column}=007")[1].tolist() == [3]
    assert found_in(path, group=("date",)).split(0.2, "date=2018-01-01")[1].tolist() == [0, 2]


def test_characters_of_a_classic_file_are_joined_and_its_numbers_are_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f.nc"
    with netcdf_file(path, "w") as file:
        for name, size in (("sample", 4), ("y", 6), ("x", 5), ("length", 4)):
            file.createDimension(name, size)
        file.createVariable("h", "f4", ("sample", "y", "x"))[...] = FIELD
        file.createVariable("Δ".encode().decode("latin1"), "f4", ("sample",))[...] = np.arange(4)
        texts = np.array([list(each.ljust(4)) for each in ("nord", "sud", "nord", "007")], dtype="S1")
        file.createVariable("region", "c", ("sample", "length"))[...] = texts
    mapped = []

    def opened(*arguments: Any, mmap: bool, **more: Any) -> Any:
        mapped.append(mmap)
        return netcdf_file(*arguments, mmap=mmap, **more)

    monkeypatch.setattr(scipy.io, "netcdf_file", opened)
    found = found_in(path, target=("h",), group=("region",), parameters=("Δ",))
    assert [found.group(index) for index in range(4)] == [f"region={name}" for name in ("nord", "sud", "nord", "007")]
    assert found.parameters is not None
    assert found.parameters[:, 0].tolist() == [0, 1, 2, 3]
    assert mapped
    assert all(mapped)


def test_a_forked_process_opens_the_file_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["y"] = FIELD
    store = open_store(tmp_path / "f.h5", {})
    store.read("y")
    first = store._opened
    assert store._handle() is first
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert store._handle() is not first


def test_the_identity_of_a_file_is_that_of_its_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for small in (2**26, 0):
        monkeypatch.setattr("beeline.data.field_sets._SMALL", small)
        arrays = (FIELD, np.where(np.arange(5) == 2, FIELD + 1e-3, FIELD), FIELD)
        told = []
        for place, array in enumerate(arrays):
            folder = tmp_path / f"{small}-{place}"
            folder.mkdir()
            told.append(FieldSet(found_in(saved(folder, y=array)), np.arange(2)).identity())
        assert told[0] == told[2] != told[1]


def test_one_map_is_read_for_one_condition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = found_in(saved(tmp_path, a=FIELD, b=2 * FIELD, p=np.arange(4)), maps=("a", "b"), parameters=("p",))
    condition = FieldSet(found, np.arange(4)).condition(1)
    assert list(condition) == ["a", "b", "params"]
    assert condition.get("c") is None
    read: list[str] = []
    own = found.store.read

    def counted(name: str, index: Any = None) -> Any:
        read.append(name)
        return own(name, index)

    monkeypatch.setattr(found.store, "read", counted)
    np.testing.assert_array_equal(condition["b"][..., 0], 2 * FIELD[1])
    assert condition["params"] == [1]
    assert read == ["b"]


def test_parameters_of_some_axes_of_samples_hold_along_the_others(tmp_path: Path) -> None:
    wide = np.stack([FIELD, FIELD])
    path = saved(tmp_path, y=wide, law=np.array([[1, 2], [3, 4]]), age=np.arange(4))
    dims = ("y=run sample y x", "law=run number", "age=sample")
    found = found_in(path, dims=dims, sample_dims=("run", "sample"), parameters=("law", "age"))
    assert found.parameters is not None
    assert found.parameters.tolist() == [[1, 2, i] for i in range(4)] + [[3, 4, i] for i in range(4)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": ("y", "y")}, "target y,y: names one of them twice"),
        ({"maps": ("z", "z")}, "maps z,z: names one of them twice"),
    ],
)
def test_names_given_twice_are_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        found_in(saved(tmp_path, z=FIELD), **changes)


@pytest.mark.parametrize("ending", [".nc", ".zarr", ".h5"])
def test_every_format_tells_calendars_unsigned_numbers_and_texts(ending: str, tmp_path: Path) -> None:
    xarray = pytest.importorskip("xarray")
    said = {"units": "days since 2000-01-01", "calendar": "noleap", "standard_name": "time", "long_name": "day"}
    raw = np.arange(4 * 6 * 5, dtype=np.uint8).reshape(4, 6, 5) + np.uint8(100)
    regions = ["nord", "süd", "nord", "007"]
    variables = {
        "y": (("run", "time", "x"), raw.view(np.int8), {"_Unsigned": "true", "units": "1"}),
        "time": (("time",), np.arange(6.0), said),
        "region": (("run",), regions),
    }
    path = tmp_path / f"f{ending}"
    if ending == ".zarr":
        xarray.Dataset(variables).to_zarr(path, consolidated=False, zarr_format=2)
    else:
        xarray.Dataset(variables).to_netcdf(path, engine="h5netcdf")
    found = found_in(path, sample_dims=("run",), group=("region",))
    assert found.description.axes[0].attributes == said
    assert [found.group(index) for index in range(4)] == [f"region={name}" for name in regions]
    np.testing.assert_array_equal(FieldSet(found, np.arange(4))[2].array[..., 0], raw[2])
