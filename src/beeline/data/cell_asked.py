"""What was asked of generated cells, with which seed and of which run, as columns of their table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from beeline.core.data import Examples
from beeline.core.errors import UserError
from beeline.data.cell_choice import CellDescription
from beeline.data.cell_libraries import COUNTS, LIBRARY, TARGET, Counted, counted
from beeline.data.cell_output import as_anndata
from beeline.data.cell_sets import CONTROL, PERTURBATION


def cells_as_anndata(
    samples: Examples,
    description: CellDescription,
    columns: Mapping[str, str],
    control: str,
    provenance: Mapping[str, Any],
    dose: str | None = None,
    found: Counted | None = None,
) -> Any:
    """Samples as an AnnData: gene names, what was asked for, provenance, and counts where they are known.

    Columns ``seed`` and ``run`` say where cells come from, ``input`` which of the given cells an edited one was.

    Args:
        samples: cells.
        description: of the training data.
        columns: of the training file, by the names of their conditions.
        control: what its column of perturbations calls control cells.
        provenance: where the samples come from.
        dose: its column of doses; None without.
        found: counts; None for no such layer.
    """
    names = dict.fromkeys(name for sample in samples for name in sample.condition if name != CONTROL)
    obs: dict[str, list[Any]] = {}
    for name in names:
        values = [sample.condition.get(name) for sample in samples]
        if name != PERTURBATION:
            obs[columns.get(name, name)] = list(map(_plain, values))
            continue
        obs[name] = [value if value is None else _set_name(value, control) for value in values]
        if dose is not None:
            obs[dose] = _doses(values)
    for name, values in _origin(provenance, len(samples)).items():
        obs.setdefault(name, values)  # a column of the training data of that name keeps it
    about = dict(provenance)
    if description.target is not None:
        about[TARGET] = description.target
    if found is None:
        return as_anndata(_values(samples), description.genes, obs, about, description.scale)
    if LIBRARY in obs:
        raise UserError(
            f"a column of the training data is called '{LIBRARY}', as that of generated counts; --data.counts false"
        )
    obs[LIBRARY] = found.library.tolist()
    return as_anndata(_values(samples), description.genes, obs, about, description.scale, found.counts)


def counts_of(
    samples: Examples,
    description: CellDescription,
    contexts: Sequence[str],
    smooth: bool,
    completed: bool,
    provenance: Mapping[str, Any],
) -> Counted | None:
    """Samples as counts; None where the training data were on another scale.

    Args:
        samples: cells.
        description: of the training data.
        contexts: names of the conditions that say the context.
        smooth: whether samples from noise are expected values.
        completed: whether samples have the counting noise, and so the library, of the control cells beside them.
        provenance: where they come from: seed, and number of the first sample.
    """
    if description.scale != COUNTS or not description.libraries:
        return None
    known = [tuple(str(sample.condition.get(name)) for name in contexts) for sample in samples]
    edit = provenance.get("edit") or {}
    edited = bool(edit) and not edit.get("seeds")  # cells that were brought keep what the components leave out
    lent = completed and not edited  # which keep their own library too
    starts = [sample.condition.get(CONTROL) if lent else None for sample in samples]
    seed, first = (int(provenance.get(name, 0)) for name in ("seed", "first"))
    return counted(_values(samples), description, known, starts, smooth and not edited, seed, first)


def _values(samples: Examples) -> np.ndarray[Any, Any]:
    return np.stack([sample.array for sample in samples])


def _origin(provenance: Mapping[str, Any], number: int) -> dict[str, list[Any]]:
    """Seed and run of each cell, and the cell that it was where cells were edited one by one."""
    known = {"seed": provenance.get("seed"), "run": provenance.get("model")}
    found = {name: [value] * number for name, value in known.items() if value is not None}
    inputs = (provenance.get("edit") or {}).get("inputs") or ()
    return found | ({"input": [each["name"] for each in inputs]} if len(inputs) == number else {})


def _set_name(value: Any, control: str) -> str:
    """A set of perturbations in one text; an empty one is control."""
    return str(value if isinstance(value, str) else "+".join(value)) or control


def _plain(value: Any) -> Any:
    """The one number of a parameter without its name; all else as it is."""
    return next(iter(value.values())) if isinstance(value, Mapping) and len(value) == 1 else value


def _doses(values: Sequence[Any]) -> list[Any]:
    """The dose of each sample, or doses joined by "+"; None where there are none."""
    found = [list(value.values()) if isinstance(value, Mapping) else [] for value in values]
    if all(len(each) < 2 for each in found):
        return [each[0] if each else None for each in found]
    return ["+".join(f"{dose:g}" for dose in each) or None for each in found]
