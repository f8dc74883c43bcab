"""Whether a run will be able to leave for the peer that it names, which is asked before it begins."""

from __future__ import annotations

from dataclasses import replace

from beeline.conditioning.label import ClassLabel
from beeline.core.errors import UserError
from beeline.model.interop.fitting import anatomy_for, changes
from beeline.model.starting import Starting
from beeline.train.choose import OPEN


def check_peer(start: Starting) -> None:
    """Refuse a run whose network ``model.compatible_with`` names a peer for that could not hold it.

    Args:
        start: what the run will train; its tensors are not asked for.

    Raises:
        UserError: the data, their conditions or an option are none of the peer's.
    """
    layout = start.model.compatible_with
    if layout == "none":
        return
    if start.model.preset == OPEN:  # sizes are chosen later; any will do for a peer
        start = replace(start, model=replace(start.model, preset="DiT-Nano"))
    try:
        different = changes(start, anatomy_for(start, layout, None))
        if not different:
            return
        what = f"{layout} would compute another function: {'; '.join(different)}"
    except UserError as error:
        what = str(error).partition(";")[0]
    raise UserError(
        f"model.compatible_with {layout}: {what}; {_mend(start)}--model.compatible_with none trains all the same"
    )


def _mend(start: Starting) -> str:
    """What would take a condition away that no peer has."""
    further = [each.name for each in start.codec.conditions if not isinstance(each, ClassLabel)]
    return "--data.shift 0 takes the shift away, " if further == ["shift"] else ""
