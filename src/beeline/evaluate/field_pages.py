"""What an evaluation of fields shows and keeps beside its numbers: curves, sheets of strips, a sweep, ensembles."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from beeline.core.data import Example
from beeline.core.errors import UserError
from beeline.data.field_output import netcdf_bytes
from beeline.data.field_strips import Sheet, drawn
from beeline.data.field_summaries import summarised
from beeline.evaluate.evaluation import Drawn, Evaluator
from beeline.evaluate.field_curves import field_curves
from beeline.evaluate.field_measures import FieldMeasures
from beeline.evaluate.field_strips import INPUTS, answers, strips
from beeline.evaluate.field_sweep import Sweep, sweep_curves, sweep_sheets, swept
from beeline.generate.ensembles import described, summaries
from beeline.generate.scalars import Scalar
from beeline.samplers.config import SampleConfig

ENSEMBLES = "ensembles.nc"
_STRIP = "input | truth | draws | mean | deviation"


@dataclass(frozen=True)
class FieldPages:
    """What comes of some draws.

    Args:
        curves: of every channel, by its name, with what its pictures show.
        files: contents of pictures and of ensembles, by their names.
        left_out: what could not be kept, and why, a line each.
    """

    curves: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    left_out: Sequence[str] = ()


def field_pages(
    evaluator: Evaluator,
    samples: Drawn,
    seed: int,
    settings: SampleConfig,
    scalar: Scalar | None = None,
    with_ensembles: bool = False,
) -> FieldPages:
    """Curves, pictures and files of draws; nothing where they are no fields on one grid, or some are not finite.

    Args:
        evaluator: of the model.
        samples: that go round the held-out inputs.
        seed: of the bands and of the sweep.
        settings: how the sweep is drawn.
        scalar: the parameter to move in it; None for no sweep.
        with_ensembles: whether mean, deviation and quantiles of the draws for every input are kept.
    """
    measures, held_out, examples = evaluator.measures.fields, evaluator.sets.held_out, samples.samples.examples
    if measures is None or measures.unfit(examples) is not None:
        return FieldPages()
    engine = evaluator.engine
    kept = evaluator.sets.held_out_numbers
    shown = answers(held_out, examples, measures.geometry, INPUTS)
    shown = replace(shown, numbers=kept[shown.numbers])
    axes = described(engine, held_out[:1])[0].dims
    sheets = {"strip": strips(shown, engine.codec.conditions, axes)}
    sweep = None if scalar is None else swept(engine, scalar, measures.training, held_out, seed, settings)
    if sweep is not None:
        sweep = replace(sweep, number=int(kept[sweep.number]))
        sheets["sweep"] = sweep_sheets(sweep, measures.geometry, axes)
    pages = FieldPages(_curves(measures, examples, seed, sweep), _files(sheets))
    for kind, by_channel in sheets.items():
        for channel, sheet in by_channel.items():
            title = _STRIP if kind == "strip" else f"{channel} along {scalar.name if scalar else ''}"
            own = pages.curves[channel].setdefault(kind, {})
            own |= {"note": sheet.note, "picture": _name(kind, channel, by_channel), "title": title}
    return _with_ensembles(pages, evaluator, measures, samples) if with_ensembles else pages


def _curves(
    measures: FieldMeasures, examples: Sequence[Example], seed: int, sweep: Sweep | None
) -> dict[str, dict[str, Any]]:
    curves = field_curves(measures, examples, seed)
    for place, channel in enumerate(measures.geometry.channels):
        if sweep is not None:
            curves[channel]["sweep"] = sweep_curves(sweep, place)
    return curves


def _files(sheets: Mapping[str, Mapping[str, Sheet]]) -> dict[str, bytes]:
    found = {}
    for kind, by_channel in sheets.items():
        for channel, sheet in by_channel.items():
            buffer = io.BytesIO()
            drawn(sheet).save(buffer, format="PNG")
            found[_name(kind, channel, by_channel)] = buffer.getvalue()
    return found


def _with_ensembles(pages: FieldPages, evaluator: Evaluator, measures: FieldMeasures, samples: Drawn) -> FieldPages:
    found = answers(evaluator.sets.held_out, samples.samples.examples, measures.geometry)
    known, inputs = described(evaluator.engine, found.inputs)
    numbers = evaluator.sets.held_out_numbers[found.numbers].tolist()
    try:
        own = summaries(found.members)
        whole = summarised(own, inputs, known, samples.samples.provenance, found.truths, numbers)
        pages.files[ENSEMBLES] = netcdf_bytes(whole)
    except UserError as error:
        return FieldPages(pages.curves, pages.files, [f"{ENSEMBLES} left out: {error}"])
    return pages


def _name(kind: str, channel: str, every: Mapping[str, Any]) -> str:
    """A file name that any system takes, and no other channel has."""
    plain = [re.sub(r"[^\w.-]+", "_", each) for each in every]
    place = list(every).index(channel)
    return f"{kind}-{plain[place] if plain.count(plain[place]) == 1 else f'{plain[place]}-{place}'}.png"
