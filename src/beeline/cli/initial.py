"""What ``--init PATH`` names: a trained network to begin from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from beeline.core.errors import UserError

if TYPE_CHECKING:
    from beeline.model.starting import Starting


@runtime_checkable
class Opened(Protocol):
    """A trained network that has been opened already."""

    def starting(self) -> Starting:
        """Its options, codec and weights."""
        ...


def starting_of(path: str | Path | Opened) -> Starting:
    """A trained network, with its options and its codec.

    A modality file that is gone or has changed is replaced by the text that the network's run has kept of it.

    Args:
        path: a run folder, one of its checkpoints, a model.safetensors, or a peer's checkpoint.

    Raises:
        UserError: there is no readable model.
    """
    from beeline.generate.imported import is_file_of_peer
    from beeline.generate.load import find_trained_modality, locate, output_folder, read_description, read_starting
    from beeline.model import interop
    from beeline.model.interop.opening import is_foreign

    if isinstance(path, Opened):
        return path.starting()
    place = Path(path).expanduser()
    if is_foreign(place) or is_file_of_peer(place):
        return interop.load(place).starting()
    stored = read_description(locate(place)[1])["modality"]
    kept = output_folder(place) / "modality.py"
    try:
        source = find_trained_modality(stored, None, kept)
    except UserError:
        if not kept.is_file():
            raise
        source = find_trained_modality(stored, str(kept), kept)
    return read_starting(place, source)[0]


def origin_of(start: Starting) -> dict[str, Any]:
    """What config.yaml keeps of it."""
    return {"path": os.path.abspath(str(start.origin["model"])), "sha256": start.origin.get("sha256")}


def check_same(path: str | Path | Opened, stored: Mapping[str, Any] | None) -> None:
    """Refuse to resume a run from something else than what it began from.

    Args:
        path: named now.
        stored: what config.yaml keeps.

    Raises:
        UserError: it is something else.
    """
    named = "--init" if isinstance(path, Opened) else f"--init {path}"
    if stored is None:
        raise UserError(f"{named}: this run began from nothing; leave it out, or begin anew with another --out")
    of_path = None if isinstance(path, Opened) else os.path.realpath(Path(path).expanduser())
    if of_path == os.path.realpath(stored["path"]):
        return
    if starting_of(path).origin.get("sha256") != stored["sha256"]:
        raise UserError(f"{named}: this run began from {stored['path']}; leave it out, or begin anew")
