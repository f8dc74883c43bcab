"""What one parameter does to a field: it is moved over its trained range, and all else is kept.

Every value is answered from the same noise, by the same maps and other parameters of one held-out input, so that what
differs between two fields of a row is the parameter's doing alone.

Shapes: V values, m draws, grid axes, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from beeline.core.data import Example, Geometry, condition_of
from beeline.core.errors import UserError, unknown
from beeline.core.offers import Gridded
from beeline.data.field_strips import DRAW, MEAN, LinePanel, MapPanel, Panel, Sheet, scale_of, scale_of_lines
from beeline.evaluate.field_strips import middle, slice_note
from beeline.evaluate.scales import short
from beeline.generate.engine import Engine, Request
from beeline.generate.scalars import Scalar, scalars_of
from beeline.samplers.config import SampleConfig

Array = np.ndarray[Any, Any]
VALUES, DRAWS, NONE = 5, 4, "none"
_SHOWN = 2


@dataclass(frozen=True)
class Sweep:
    """Fields along a parameter.

    Args:
        scalar: the parameter.
        values: (V,) of it.
        members: (V, m, grid axes, C) draws; draw j of every value is of the same noise.
        number: of the held-out input whose other conditions all of them have.
        passes: network passes of all draws together.
    """

    scalar: Scalar
    values: Sequence[float]
    members: Array
    number: int
    passes: int


def chosen_scalar(engine: Engine, name: str | None) -> Scalar | None:
    """The parameter to move: that of a name, else the first; None where there is none or none is wanted.

    Args:
        engine: the model.
        name: of the parameter; ``none`` for none, None for the first.

    Raises:
        UserError: there is no such parameter.
    """
    found = {each.name: each for each in scalars_of(engine.codec.conditions)}
    if name is None:
        return next(iter(found.values()), None)
    if name == NONE:
        return None
    if not found or not isinstance(engine.modality, Gridded):
        what = "takes no parameters" if not found else "is not of fields on a grid"
        raise UserError(f"--sweep {name}: the model {what}; leave it out")
    if name not in found:
        raise unknown("--sweep", name, [*found, NONE])
    return found[name]


def swept(
    engine: Engine,
    scalar: Scalar,
    training: Sequence[Example],
    held_out: Sequence[Example],
    seed: int,
    settings: SampleConfig | None = None,
) -> Sweep | None:
    """Draw fields along a parameter; None where no held-out input has it, or where it never varies in training.

    Args:
        engine: the model.
        scalar: the parameter.
        training: examples whose values say how far it goes, where the model does not know.
        held_out: the first of them that has a value of it lends the other conditions.
        seed: draw j of every value is item j of it.
        settings: how to draw; the run's own when None.
    """
    name = scalar.condition.name
    number = next((i for i, each in enumerate(held_out) if np.isfinite(scalar.value(each.condition.get(name)))), None)
    values = scalar.steps((condition_of(training, place).get(name) for place in range(len(training))), VALUES)
    if number is None or not values[0] < values[-1]:
        return None
    example, draws = held_out[number], 1 if engine.process.is_regression else DRAWS
    known = {each.name for each in engine.codec.conditions}
    kept = {each: value for each, value in example.condition.items() if each in known}
    members, passes = [], 0
    for value in values:
        request = Request({**kept, name: scalar.put(kept[name], value)}, engine.codec.form(example.array))
        samples = engine.generate([request] * draws, seed, settings)
        members.append(np.stack([each.array for each in samples.examples]))
        passes += int(np.sum(np.broadcast_to(samples.provenance["passes"], draws)))
    return Sweep(scalar, values, np.stack(members), number, passes)


def sweep_sheets(sweep: Sweep, geometry: Geometry, axes: Sequence[str]) -> dict[str, Sheet]:
    """Fields along the parameter, a sheet for each channel with one scale: single draws, and the mean of all.

    Args:
        sweep: the draws.
        geometry: of their grid.
        axes: names of its axes.
    """
    heads = [f"{sweep.scalar.name} {short(value)}" for value in sweep.values]
    draws, sheets = sweep.members.shape[1], {}
    for place, (channel, units) in enumerate(zip(geometry.channels, geometry.units, strict=True)):
        own = sweep.members[..., place]
        kinds = {f"draw {draw + 1}": own[:, draw] for draw in range(min(_SHOWN, draws))}
        if draws > 1:
            kinds[f"mean of {draws}"] = own.mean(axis=1)
        cut = {name: [middle(each) for each in fields] for name, fields in kinds.items()}
        every = [each for fields in cut.values() for each in fields]
        lines = every[0].ndim == 1
        scale = scale_of_lines(every, units) if lines else scale_of(every, units)
        rows: list[tuple[str, Sequence[Panel]]] = []
        for name, fields in cut.items():
            ink = MEAN if name.startswith("mean") else DRAW
            panels: list[Panel] = [
                LinePanel(head, [cells], scale, [ink]) if lines else MapPanel(head, cells, scale)
                for head, cells in zip(heads, fields, strict=True)
            ]
            rows.append((name, panels))
        sheets[channel] = Sheet(rows, _note(sweep, scale.text) + slice_note(own.shape[2:], axes))
    return sheets


def sweep_curves(sweep: Sweep, channel: int) -> dict[str, Any]:
    """The parameter, and mean and standard deviation over cells of the fields at each value, averaged over draws.

    Args:
        sweep: the draws.
        channel: place of the channel.
    """
    cells = sweep.members[..., channel].astype(np.float64).reshape(*sweep.members.shape[:2], -1)
    return {
        "parameter": sweep.scalar.name,
        "units": sweep.scalar.units,
        "values": list(sweep.values),
        "mean": cells.mean(axis=2).mean(axis=1).tolist(),
        "deviation": cells.std(axis=2).mean(axis=1).tolist(),
        "input": sweep.number,
        "draws": sweep.members.shape[1],
        "passes": sweep.passes,
    }


def _note(sweep: Sweep, scale: str) -> str:
    count, draws = sweep.members.shape[:2]
    units = f" {sweep.scalar.units}" if sweep.scalar.units else ""
    low, high = (short(sweep.values[place]) for place in (0, -1))
    noise = f"{draws} draws of the same noise at each" if draws > 1 else "one answer at each"
    return (
        f"{sweep.scalar.name} moved over its trained range, {low} to {high}{units}, in {count} steps with {noise}; all "
        f"other conditions are those of held-out input {sweep.number}. One scale, {scale}. "
        f"{count * draws} draws, {sweep.passes:,} network passes in all."
    )
