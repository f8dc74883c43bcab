"""The conditions of cells, from what their file says: perturbations, labels, numbers, and the control cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from beeline.conditioning.beside import Beside
from beeline.conditioning.control_cell import ControlCell
from beeline.conditioning.control_cells import ControlPopulation
from beeline.conditioning.named_label import NamedLabel
from beeline.conditioning.named_sets import feature_table, standardised
from beeline.conditioning.parameters import Parameters
from beeline.conditioning.perturbations import Perturbations
from beeline.core.errors import UserError
from beeline.core.protocols import Condition
from beeline.data.cell_knowledge import PerturbationFeatures
from beeline.data.cell_populations import CONTROLS
from beeline.data.cell_sets import CONTROL, PERTURBATION, FoundCells
from beeline.data.projection import Projection

Array = np.ndarray[Any, Any]


def told_conditions(
    found: FoundCells,
    held_out: Array,
    control: str,
    dropout: float,
    features: PerturbationFeatures | None = None,
    identity: bool = True,
) -> list[Condition]:
    """Conditions that the network is told: perturbation, labels, numbers, each with a learned null.

    Args:
        found: the cells.
        held_out: (N,) which are kept from training.
        control: what the column of perturbations calls control cells.
        dropout: share of training samples that see the null of each.
        features: of perturbations; None where their identities are all that is known.
        identity: whether each perturbation of training has a learned vector of its own.

    Raises:
        UserError: perturbations have neither identities nor features, or a label is missing in all training cells.
    """
    told: list[Condition] = []
    if found.named:
        rows: tuple[tuple[float, ...], ...] = () if features is None else tuple(map(tuple, features.rows.tolist()))
        names = () if features is None else features.names
        doses = found.doses is not None
        told.append(Perturbations(PERTURBATION, names, rows, identity, doses, control, dropout))
    for name, column in found.labels.items():
        values = tuple(sorted({str(value) for value in column[~held_out].tolist() if value is not None}))
        if not values:
            raise UserError(f"labels: no training cell has an entry in {name}; leave it out")
        told.append(NamedLabel(name, len(values), dropout, values))
    return told + [Parameters(name, (name,), dropout=dropout) for name in found.numbers]


def beside_conditions(contexts: Mapping[str, Array], told: Sequence[str], through: str) -> list[Condition]:
    """Contexts that the network is not told, as a control cell says where a sample belongs.

    Args:
        contexts: (N,) each of them, of all cells, held-out ones among them, by its name.
        told: names of what the network is told.
        through: name of the condition that holds control cells.
    """
    known = {name: tuple(sorted(set(map(str, each)))) for name, each in contexts.items() if name not in told}
    return [Beside(name, values, through) for name, values in known.items()]


def control_condition(
    controls: int, size: int, dropout: float, components: int, description: str, layer: str | None
) -> ControlCell | ControlPopulation:
    """The control cells that a sample sees, or without any the control cell that it starts from.

    Args:
        controls: cells that a sample sees; 0 for none.
        size: cells of a set; 0 where a sample is a cell.
        dropout: share of training samples that see none of them; a start is always there.
        components: principal components by which they are seen.
        description: of the training data, as text.
        layer: of the numbers in files; X when None.
    """
    if not controls:
        return ControlCell(CONTROL, description=description, layer=layer)
    return ControlPopulation(CONTROLS, controls, size or 1, dropout, description, layer, Projection(components))


def features_by_name(features: PerturbationFeatures | None) -> Mapping[str, Array] | None:
    """Features of each perturbation that has some, (F,), of zero mean and unit deviation over those of training.

    Args:
        features: as they were found; None without.
    """
    if features is None:
        return None
    rows = tuple(map(tuple, features.rows.tolist()))
    scaled = standardised(PERTURBATION, features.names, rows, range(features.trained), True)
    table = feature_table(scaled, len(features.names))
    return {name: row for name, row in zip(features.names, table, strict=True) if np.isfinite(row).all()}


def features_known(conditions: Sequence[Condition]) -> Mapping[str, Array] | None:
    """What ``features_by_name`` gave when a model was trained, (F,) of each; None without features.

    Args:
        conditions: of the model, fitted.
    """
    for each in conditions:
        if isinstance(each, Perturbations) and each.features:
            rows = zip(each.known, each.features, strict=True)
            return {name: np.array(row) for name, row in rows if row}
    return None
