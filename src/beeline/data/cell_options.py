"""Options of single cells that do not go together, told before any file is opened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from beeline.core.errors import UserError
from beeline.data.projection import MOST_NUMBERS


def labels_of(asked: Mapping[str, Any]) -> tuple[str, ...]:
    """Columns that the network is told as classes: batch, donor and further ones, each once.

    Args:
        asked: options of the modality by their names.
    """
    named = (asked[name] for name in ("batch", "donor") if asked[name] is not None)
    return tuple(dict.fromkeys((*named, *asked["labels"])))


def told_columns(asked: Mapping[str, Any]) -> tuple[str, ...]:
    """Columns that the network is told as classes, contexts too where no control cell says where a sample belongs.

    Args:
        asked: options of the modality by their names.
    """
    beside = asked["start"] == "control" or asked["controls"]
    return tuple(dict.fromkeys((*(() if beside else asked["context"]), *labels_of(asked))))


def check_options(asked: Mapping[str, Any]) -> None:
    """Refuse what means nothing, alone or beside the rest.

    Args:
        asked: options of the modality by their names.

    Raises:
        UserError: saying which.
    """
    if asked["path"] == "":
        raise UserError("path: missing; say where the cells are, --data.path FILE.h5ad")
    share = asked["held_out"]
    if share is not None and asked["held_out_populations"] is not None:
        raise UserError("held_out and held_out_populations both say what to hold out; give one of them")
    if share is not None and not 0 < share < 1:
        raise UserError(f"held_out {share:g}: must lie between 0 and 1")
    for name, least in {"pairs": 1, "controls": 0, "set_size": 1}.items():
        if asked[name] < least:
            raise UserError(f"{name} {asked[name]}: must be at least {least}")
    if asked["controls_dropout"] and not asked["controls"]:
        raise UserError(f"controls_dropout {asked['controls_dropout']:g}: belongs to controls, which is 0")
    _check_perturbations(asked)
    _check_tokens(asked)
    written = {"set": asked["tokens"] == "cells", "library": asked["counts"] and asked["scale"] == "counts"}
    for column in (*asked["context"], *labels_of(asked), *asked["numbers"]):
        if written.get(column):
            mend = "; or --data.counts false" if column == "library" else ""
            raise UserError(f"column '{column}': generated cells have one of that name of their own; rename it{mend}")


def check_genes(count: int) -> None:
    """Refuse more genes than principal components are taken of.

    Args:
        count: of them.

    Raises:
        UserError: there are more.
    """
    if count > MOST_NUMBERS:
        raise UserError(
            f"{count:,} genes: principal components are taken of at most {MOST_NUMBERS:,}; keep the most variable "
            "ones, --data.highly_variable 2000"
        )


def _check_perturbations(asked: Mapping[str, Any]) -> None:
    about = {
        "start control": asked["start"] == "control",
        f"controls {asked['controls']}": asked["controls"],
        "features": asked["features"],
        "dose": asked["dose"],
    }
    if asked["perturbation_key"] is None and any(about.values()):
        what = next(what for what, given in about.items() if given)
        raise UserError(f"{what}: needs perturbation_key, the column that says what a cell was under")
    if asked["perturbation_key"] in labels_of(asked):
        raise UserError(
            f"column '{asked['perturbation_key']}': is perturbation_key, and no batch, donor or label beside"
        )
    if not asked["identity"] and asked["features"] is None:
        raise UserError("identity false: perturbations have neither identities nor features; give features")


def _check_tokens(asked: Mapping[str, Any]) -> None:
    tokens, seen = asked["tokens"], asked["genes_in_training"]
    if asked["start"] == "control" and (asked["controls"] or tokens == "cells"):
        raise UserError("start control: carries single cells, without controls or tokens cells; use start noise")
    if seen is not None and (tokens != "genes" or seen < 1):
        raise UserError(f"genes_in_training {seen}: belongs to tokens genes, and is at least 1")
    if tokens == "cells" and asked["numbers"]:
        raise UserError(f"numbers {', '.join(asked['numbers'])}: are of single cells, which tokens cells has none of")
    if asked["autoencoder"] == "":
        raise UserError("autoencoder: missing; make one, beeline autoencode FILE --out FOLDER, and name its folder")
    if tokens == "cells" and asked["autoencoder"] is not None:
        raise UserError("autoencoder: gives latents of single cells; leave tokens cells out")
