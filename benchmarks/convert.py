"""Files of scientific fields as ``beeline train fields`` reads them, from those that their authors published.

python -m benchmarks.convert winds ERA_INTERIM.nc OUT.npz --hold_out 1,200
python -m benchmarks.convert darcy DARCY.npz OUT.npz
python -m benchmarks.convert burgers BURGERS.npz OUT.npz

winds: windows of 64x64 cells of geopotential, u and v, in m and s. Of every (month, level) but the one that is held
out they lie 8 rows and 20 columns apart, 552 of each; of that one they are 32, 59 rows and 60 columns apart, which
share at most 5 rows or 4 columns with a neighbour. band and half tell eight parts of the globe, four of these in each.
Windows to train on are there a second time, as the other side of the equator would have them half a year later, which
the equations of motion allow: rows turned over, v and the latitude of the other sign, 8 - month. source is the month
that a window was measured in, and groups are by it.

darcy: permeability and pressure as floats; observed has the pressure at 13 of the 256 cells, the same in all samples
and spread by a fixed draw, 0 elsewhere, and beside it 1 where it is known.

burgers: the initial state, and the solution at the 16 times after it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Arrays = Mapping[str, Array]
SIDE, SENSORS = 64, 13
_NAMES = ("month", "level", "latitude", "longitude", "source", "band", "half")


def winds(source: Path, hold_out: tuple[int, int]) -> Arrays:
    """Windows of a global reanalysis with month, level, place of their centre, and part of the globe.

    Args:
        source: netCDF with z, u and v over month, level, latitude (241) and longitude (480).
        hold_out: month and level whose windows hardly overlap.
    """
    import xarray

    file = xarray.open_dataset(source)
    maps = np.stack([file[name].to_numpy() for name in ("z", "u", "v")], axis=-1).astype(np.float32)
    latitude, longitude = file["latitude"].to_numpy(), file["longitude"].to_numpy()
    found: dict[str, list[Any]] = {name: [] for name in ("z", "wind", *_NAMES)}
    for month, level in np.ndindex(2, 2):
        asked = (int(file["month"][month]), int(file["level"][level]))
        apart = (59, 60) if asked == hold_out else (8, 20)
        for row in range(0, len(latitude) - SIDE + 1, apart[0]):
            for column in range(0, len(longitude), apart[1]):
                columns = np.arange(column, column + SIDE) % len(longitude)
                window = maps[month, level, row : row + SIDE][:, columns]
                north = latitude[row : row + SIDE].mean()
                east = (longitude[column] + 0.75 * (SIDE - 1) / 2 + 180.0) % 360.0 - 180.0
                part = row // 59, 2 * column // len(longitude)
                _put(found, window, (*asked, north, east, asked[0], *part))
                if asked != hold_out:
                    _put(
                        found, window[::-1] * (1.0, 1.0, -1.0), (8 - asked[0], asked[1], -north, east, asked[0], *part)
                    )
    return {name: np.asarray(values, dtype=np.float32) for name, values in found.items()}


def _put(found: dict[str, list[Any]], window: Array, numbers: tuple[float, ...]) -> None:
    found["z"].append(window[..., 0])
    found["wind"].append(window[..., 1:])
    for name, value in zip(_NAMES, numbers, strict=True):
        found[name].append(value)


def darcy(source: Path) -> Arrays:
    """Permeability, pressure, and the pressure as 13 sensors see it."""
    file = np.load(source)
    permeability, pressure = file["x"].astype(np.float32), file["y"].astype(np.float32)
    known = np.zeros(pressure.shape[1:], dtype=np.float32)
    known.flat[np.random.default_rng(0).choice(known.size, SENSORS, replace=False)] = 1.0
    observed = np.stack(np.broadcast_arrays(pressure * known, known), axis=-1)
    return {"permeability": permeability, "pressure": pressure, "observed": observed}


def burgers(source: Path) -> Arrays:
    """Initial states and the solutions after them."""
    file = np.load(source)
    return {"initial": file["x"].astype(np.float32), "solution": file["y"][:, 1:].astype(np.float32)}


def main() -> None:
    """Convert one file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("winds", "darcy", "burgers"))
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--hold_out", default="1,200", help="month,level of winds")
    arguments = parser.parse_args()
    month, level = (int(each) for each in arguments.hold_out.split(","))
    makers: dict[str, Callable[[], Arrays]] = {
        "winds": lambda: winds(arguments.source, (month, level)),
        "darcy": lambda: darcy(arguments.source),
        "burgers": lambda: burgers(arguments.source),
    }
    arrays = makers[arguments.what]()
    np.savez(arguments.out, allow_pickle=False, **arrays)
    for name, array in arrays.items():
        print(f"{arguments.out.name}: {name} {' x '.join(map(str, array.shape))}")


if __name__ == "__main__":
    main()
