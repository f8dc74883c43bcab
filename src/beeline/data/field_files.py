"""The formats of gridded files: .npz and .npy, netCDF 3 by scipy, netCDF 4 and zarr by xarray, HDF5 by h5py."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from beeline.core import extras
from beeline.core.errors import UserError
from beeline.data.field_description import ABOUT
from beeline.data.field_stores import FieldStore, Variable
from beeline.data.image_arrays import read_member

Array = np.ndarray[Any, Any]
_KNOWN = ("scale_factor", "add_offset", "_FillValue", "missing_value", "_Unsigned", "units", *ABOUT)
_NO_VARIABLE = "This is a netCDF dimension but not a netCDF variable"
_ENDINGS = ".nc, .zarr, .h5, .hdf5, .npz or .npy"


class NpzStore(FieldStore):
    """An .npz, whose arrays are read once and held, or mapped where they are large and not compressed; or one .npy."""

    survives_fork = True

    def _open(self) -> Any:
        if self.path.suffix.lower() == ".npy":
            check_numbers(self.path)
            return {self.path.stem: np.load(self.path, mmap_mode="r", allow_pickle=False)}
        return {}

    def _look(self, handle: Any) -> list[Variable]:
        if self.path.suffix.lower() == ".npy":
            return [Variable(name, (), array.shape, array.dtype) for name, array in handle.items()]
        found = []
        with zipfile.ZipFile(self.path) as archive:
            for entry in archive.namelist():
                with archive.open(entry) as file:
                    shape, dtype = _header(file)
                found.append(Variable(entry.removesuffix(".npy"), (), shape, dtype))
        return found

    def _raw(self, handle: Any, name: str, where: tuple[Any, ...]) -> Array:
        if name not in handle:
            with np.load(self.path, allow_pickle=False) as archive:
                handle[name] = read_member(self.path, archive, name)
        return np.asarray(handle[name][where])


def check_numbers(path: Path) -> None:
    """Refuse an .npy file of Python objects, which is a pickle.

    Args:
        path: of the file.

    Raises:
        UserError: it is one.
        ValueError: it is no .npy file.
    """
    with open(path, "rb") as file:
        if _header(file)[1].hasobject:
            raise UserError(f"{path}: holds Python objects, not numbers; save an array of numbers, array.astype(float)")


def _header(file: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype of the array of an .npy file, at whose beginning it is read."""
    version, read = np.lib.format.read_magic(file), np.lib.format
    header = read.read_array_header_1_0 if version == (1, 0) else read.read_array_header_2_0
    shape, _, dtype = header(file)
    return tuple(shape), dtype


class ClassicStore(FieldStore):
    """A netCDF file of the classic format, version 3, by way of scipy."""

    def _open(self) -> Any:
        return None

    def _look(self, handle: Any) -> list[Variable]:
        from scipy.io import netcdf_file

        with netcdf_file(self.path, "r", mmap=True) as file:
            return [_described(name, each) for name, each in file.variables.items()]

    def _raw(self, handle: Any, name: str, where: tuple[Any, ...]) -> Array:
        from scipy.io import netcdf_file

        with netcdf_file(self.path, "r", mmap=True) as file:
            data = file.variables[name.encode().decode("latin1")].data
            part = np.array(data[where], dtype=data.dtype.newbyteorder("="))
            is_text = _is_text(data)
            del data
        return np.ascontiguousarray(part).view(f"S{part.shape[-1]}")[..., 0] if is_text else part


class LabelledStore(FieldStore):
    """A netCDF-4 file or a zarr folder by way of xarray."""

    def _open(self) -> Any:
        xarray = needed("xarray", self.path)
        options: dict[str, Any] = {}
        if self.path.suffix == ".zarr":
            options = {"engine": "zarr", "consolidated": _is_consolidated(self.path)}
        return xarray.open_dataset(self.path, mask_and_scale=False, decode_times=False, cache=False, **options)

    def _look(self, handle: Any) -> list[Variable]:
        return [
            Variable(str(name), tuple(map(str, each.dims)), tuple(each.shape), each.dtype, dict(each.attrs))
            for name, each in handle.variables.items()
        ]

    def _raw(self, handle: Any, name: str, where: tuple[Any, ...]) -> Array:
        array = handle[name]
        return np.asarray(array.isel(dict(zip(array.dims, where, strict=True))).values)


class HierarchicalStore(FieldStore):
    """An HDF5 file by way of h5py: its datasets by path, their axes by dimension scales where it has them."""

    def _open(self) -> Any:
        return needed("h5py", self.path).File(self.path, "r")

    def _look(self, handle: Any) -> list[Variable]:
        found: list[Variable] = []

        def visit(name: str, item: Any) -> None:
            if not hasattr(item, "shape") or str(_scalar(item.attrs.get("NAME", ""))).startswith(_NO_VARIABLE):
                return
            labels = [axis[0].name.rpartition("/")[2] if len(axis) else axis.label for axis in item.dims]
            dims = tuple(labels) if all(labels) else (name,) if item.is_scale and len(item.shape) == 1 else ()
            attributes = {key: _scalar(item.attrs[key]) for key in _KNOWN if key in item.attrs}
            found.append(Variable(name, dims, tuple(item.shape), item.dtype, attributes))

        handle.visititems(visit)
        return found

    def _raw(self, handle: Any, name: str, where: tuple[Any, ...]) -> Array:
        return np.asarray(handle[name][where])


def _is_consolidated(folder: Path) -> bool:
    """Whether a zarr folder keeps what is known of its arrays in one place; xarray warns where it has to find out."""
    record = folder / "zarr.json"
    return (folder / ".zmetadata").is_file() or (record.is_file() and "consolidated_metadata" in record.read_text())


def open_store(path: Path, dims: Mapping[str, tuple[str, ...]]) -> FieldStore:
    """The store of a file, by its ending and its first bytes.

    Args:
        path: of a file, or of a zarr folder.
        dims: names of the axes of some variables, where the file does not say them.

    Raises:
        UserError: it is not there, or is of another kind.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file; say where the fields are, --data.path FILE")
    ending = path.suffix.lower()
    if ending == ".zarr":
        return LabelledStore(path, dims)
    if path.is_dir():
        raise UserError(f"{path}: is a folder; fields are read from one file, {_ENDINGS}")
    if ending in (".npz", ".npy"):
        return NpzStore(path, dims)
    with open(path, "rb") as file:
        first = file.read(4)
    if first[:3] == b"CDF":
        return ClassicStore(path, dims)
    if first == b"\x89HDF":
        return LabelledStore(path, dims) if ending in (".nc", ".nc4") else HierarchicalStore(path, dims)
    raise UserError(f"{path}: is no file of fields; need {_ENDINGS}")


def needed(package: str, what: object) -> Any:
    """A package of the extra ``fields``.

    Args:
        package: its name.
        what: what needs it, for the message.

    Raises:
        UserError: it is not installed.
    """
    return extras.needed(package, what, "fields")


def _described(name: str, variable: Any) -> Variable:
    """What is known of a variable of a classic netCDF file; of characters, the last axis makes texts."""
    attributes = {key: _scalar(value) for key, value in variable._attributes.items()}
    kept = len(variable.shape) - _is_text(variable.data)
    dims = tuple(_utf8(dim) for dim in variable.dimensions[:kept])
    dtype = variable.data.dtype.newbyteorder("=")
    return Variable(_utf8(name), dims, tuple(variable.shape[:kept]), dtype, attributes)


def _is_text(array: Array) -> bool:
    return array.dtype.kind == "S" and array.ndim > 1


def _utf8(name: str) -> str:
    """A name as the file means it; scipy takes its bytes for Latin-1."""
    return name.encode("latin1").decode("utf-8", "replace")


def _scalar(value: Any) -> Any:
    """Text for bytes, a number for an array of one."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.reshape(-1)[0] if isinstance(value, np.ndarray) and value.size == 1 else value
