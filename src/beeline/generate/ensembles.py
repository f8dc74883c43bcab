"""Many draws of one condition as few numbers a cell: mean, standard deviation, quantiles, with coordinates and units.

    import beeline
    said = beeline.ensemble("runs/winds", 63, {"z": height, "params": {"month": 7, "level": 500}})
    said["u_mean"], said["u_deviation"], said["u_quantile"].sel(quantile=0.95)

Formulas: ``metrics/ensembles.py``. A level p is there from 1 / p - 1 draws on: m draws say nothing outside
[1 / (m + 1), m / (m + 1)].

Shapes: N inputs, m draws of each, Q levels, grid axes, C channels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from beeline.conditioning.map import AlignedMap
from beeline.core.data import Example
from beeline.core.errors import UserError
from beeline.core.files import write_bytes
from beeline.core.offers import Gridded
from beeline.data.field_description import FieldChannel, FieldDescription
from beeline.data.field_output import Labelled, as_dataset, classic_bytes, same_condition
from beeline.data.field_sets import PARAMETERS
from beeline.data.field_summaries import Described, Summaries, by_geometry, summarised
from beeline.generate.asking import by_name
from beeline.generate.engine import Engine, Request, Samples
from beeline.generate.guidance import with_one_scale
from beeline.generate.load import load
from beeline.generate.scalars import scalars_of
from beeline.generate.write import endings_of
from beeline.metrics.ensembles import deviation_map, mean_map, quantile_maps
from beeline.samplers.config import SampleOptions

Array = np.ndarray[Any, Any]
LEVELS = (0.05, 0.5, 0.95)


def ensemble(
    model: Engine | str | Path,
    draws: int,
    condition: Mapping[str, Any] | None = None,
    levels: Sequence[float] | None = None,
    seed: int = 0,
    shape: Sequence[int] | None = None,
    batch_size: int | None = None,
    **options: Unpack[SampleOptions],
) -> Any:
    """Draw answers to one input and summarise them as an xarray.Dataset.

    Args:
        model: what ``beeline.load`` gives, or a run folder, a checkpoint or a model.safetensors; of fields on a grid.
        draws: m, how many.
        condition: value of each condition, one for all draws; those left out are replaced by their null.
        levels: of the quantiles; of 0.05, 0.5 and 0.95 those that so many draws have when None.
        seed: draw i depends on (seed, i) alone.
        shape: extents of the grid; those of training when None.
        batch_size: draws at a time.
        options: fields of ``SampleConfig`` that differ from the run's.

    Returns:
        an xarray.Dataset of u_mean, u_deviation and u_quantile of each channel u, with the conditions beside them.

    Raises:
        UserError: an argument is out of range or a condition does not fit, the model is not one of fields, or xarray is
            not installed.
    """
    engine = model if isinstance(model, Engine) else load(model)
    requests = engine.requests(draws, by_name(condition), shape, options.get("cfg_scale"))
    check_summary(engine, requests, levels)
    samples = engine.generate(requests, seed, engine.settings(**with_one_scale(dict(options))), batch_size)
    return as_dataset(summary(engine, samples, levels))


def check_summary(engine: Engine, requests: Sequence[Request], levels: Sequence[float] | None) -> None:
    """Refuse draws of which there is no summary, before they are drawn.

    Args:
        engine: the model.
        requests: for the draws.
        levels: of the quantiles; None where those are left out that so many draws do not have.

    Raises:
        UserError: the model is not one of fields, the draws are not asked for alike, or have no such quantile.
    """
    if not isinstance(engine.modality, Gridded):
        name = type(engine.modality).__name__
        raise UserError(f"summary: is of fields on a grid, whose quantities have names and units; {name} has none")
    if any(not same_condition(each.condition, requests[0].condition) for each in requests):
        raise UserError("summary: is of draws of one condition, and several values of one were given; give one of each")
    if len({each.cfg_scale for each in requests}) > 1:
        raise UserError("summary: is of draws of one kind, and several --cfg-scale were given; give one")
    if levels is not None:
        _check_levels(levels, len(requests))


def summary(engine: Engine, samples: Samples, levels: Sequence[float] | None = None) -> Labelled:
    """What draws of one condition say.

    Args:
        engine: the model.
        samples: of it, asked for alike.
        levels: of the quantiles; of 0.05, 0.5 and 0.95 those that so many draws have when None.

    Raises:
        UserError: the draws have several shapes.
    """
    shapes = {each.array.shape for each in samples.examples}
    if len(shapes) > 1:
        raise UserError(
            f"summary: draws have several shapes, {', '.join(map(str, sorted(shapes)))}; ask for one, --shape"
        )
    found = summaries(np.stack([each.array for each in samples.examples])[None], levels)
    known, inputs = described(engine, samples.examples[:1])
    return summarised(found, inputs, known, samples.provenance)


def write_summary(engine: Engine, samples: Samples, levels: Sequence[float] | None, out: Path) -> Path:
    """Write what draws of one condition say as netCDF.

    Args:
        engine: the model.
        samples: of it, asked for alike.
        levels: of the quantiles; of 0.05, 0.5 and 0.95 those that so many draws have when None.
        out: where the draws were written: a folder, or a file, whose name the summary then takes.

    Raises:
        OSError: the place cannot be written to.
    """
    is_file = out.suffix.lower() in endings_of(engine.modality)
    path = out.with_suffix(".summary.nc") if is_file else out / "summary.nc"
    write_bytes(path, classic_bytes(summary(engine, samples, levels)))
    return path


def summaries(members: Array, levels: Sequence[float] | None = None) -> Summaries:
    """Mean, standard deviation and quantiles over draws, input by input.

    Args:
        members: (N, m, grid axes, C) draws.
        levels: of the quantiles; of 0.05, 0.5 and 0.95 those that so many draws have when None.
    """
    draws = members.shape[1]
    kept = [level for level in LEVELS if _needed(level) <= draws] if levels is None else list(levels)
    left = [] if levels is not None else [level for level in LEVELS if level not in kept]
    several = draws > 1
    rows = [
        (mean_map(each), deviation_map(each) if several else None, quantile_maps(each, kept))
        for each in (members[place : place + 1] for place in range(len(members)))
    ]
    means, deviations, quantiles = zip(*rows, strict=True)
    note = (
        f"{draws} draws have no quantile at {' and '.join(f'{each:g}' for each in left)}: it needs {_needed(LEVELS[0])}"
    )
    return Summaries(
        np.concatenate(means),
        np.concatenate(deviations) if several else None,
        np.concatenate(quantiles),
        kept,
        draws,
        note if left else "",
    )


def described(engine: Engine, inputs: Sequence[Example]) -> tuple[FieldDescription, list[Example]]:
    """What is known of fields beside their numbers, and inputs whose conditions go by the names in it.

    Args:
        engine: a model of fields on a grid.
        inputs: at least one, of one shape.
    """
    modality = engine.modality
    if isinstance(modality, Described):
        return modality.described(), list(inputs)
    assert isinstance(modality, Gridded)
    numbers = scalars_of(engine.codec.conditions)
    maps = {each.name: each.given for each in engine.codec.conditions if isinstance(each, AlignedMap)}
    parameters = [FieldChannel(each.name, each.units) for each in numbers]
    known = by_geometry(modality.geometry(), inputs[0].array.shape[:-1], maps, parameters)
    plain = [
        Example(
            each.array,
            {
                **{name: value for name, value in each.condition.items() if name in maps},
                PARAMETERS: {one.name: one.value(each.condition.get(one.condition.name)) for one in numbers},
            },
        )
        for each in inputs
    ]
    return known, plain


def _check_levels(levels: Sequence[float], draws: int) -> None:
    for level in levels:
        if not 0 < level < 1:
            raise UserError(f"quantile {level:g}: must lie between 0 and 1")
        if _needed(level) > draws:
            raise UserError(f"{draws} draws have no quantile at {level:g}: it needs {_needed(level)}")


def _needed(level: float) -> int:
    """How many draws have a quantile at a level."""
    return math.ceil(1.0 / min(level, 1.0 - level) - 1e-9) - 1
