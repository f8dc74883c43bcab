"""What a run's network begins with: another network's tensors, fitted to the run's, or what the run itself has kept.

init/model.safetensors, init/model.json     all tensors of the run's network before its first step, and what became of
                                            those that it was begun from; so that resuming needs nothing from elsewhere
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from beeline.core.errors import UserError
from beeline.core.files import read_json
from beeline.core.parts import describe_part
from beeline.core.protocols import Tokenizer
from beeline.model.codec import Codec
from beeline.model.format import DESCRIPTION, WEIGHTS, read_tensors
from beeline.model.network import Network
from beeline.model.starting import Starting
from beeline.model.table import Row
from beeline.model.transfer import check_config, transfer
from beeline.train.choose import preset_is_open
from beeline.train.config import RunConfig


@dataclass(frozen=True)
class Beginning:
    """Where the first tensors of a run come from; with neither argument, from its seed.

    Args:
        start: a trained network, to begin a run from.
        kept: folder in which a run keeps what it began with.
    """

    start: Starting | None = None
    kept: Path | None = None

    def check(self, config: RunConfig, tokenizer: Tokenizer) -> None:
        """Refuse options and data that do not go with the trained network, before long work.

        Raises:
            UserError: they do not.
        """
        if self.start is not None and preset_is_open(config):
            raise UserError("model.preset auto: the network to begin from has its sizes; leave it out")
        if self.start is not None:
            check_config(self.start, config.model, tokenizer)
        if self.start is None and self.kept is None and config.train.lora_rank:
            raise UserError(
                "train.lora_rank: a fresh network has nothing to adapt; name a trained one with --init PATH"
            )

    def fill(self, network: Network, codec: Codec) -> dict[str, Any]:
        """Give a network its first tensors.

        Args:
            network: fresh.
            codec: of the run.

        Returns:
            what the run's description says of them, empty for those of its seed.

        Raises:
            UserError: a tensor does not fit.
        """
        if self.kept is not None:
            network.load_state_dict(_checked(self.kept, network))
            record: dict[str, Any] = read_json(self.kept / DESCRIPTION).get("began", {})
            return record
        if self.start is None:
            return {}
        tensors, rows = transfer(self.start, network, codec)
        network.load_state_dict(tensors)
        return _record(self.start, rows, codec)


def _checked(kept: Path, network: Network) -> dict[str, Tensor]:
    """The tensors that a run has kept, which must be those of its network."""
    tensors = read_tensors(kept / WEIGHTS)
    expected = network.state_dict()
    for name in sorted(expected.keys() | tensors.keys()):
        if name not in expected or name not in tensors or tensors[name].shape != expected[name].shape:
            raise UserError(f"{kept / WEIGHTS}: tensor {name} is missing or not of this run's network; begin anew")
    return tensors


def _record(start: Starting, rows: list[Row], codec: Codec) -> dict[str, Any]:
    """What a description says of where a run began."""
    model = start.origin.get("model")
    record = {
        "path": None if model is None else str(Path(model).absolute()),
        "sha256": start.origin.get("sha256"),
        "step": start.origin.get("step"),
        "tensors": {row.tensor: row.text for row in rows if row.what != "left"},
        "left": {row.tensor: row.why for row in rows if row.what == "left"},
        "untrained": [row.tensor for row in rows if row.untrained],
    }
    before, after = (describe_part(each.normaliser) for each in (start.codec, codec))
    if before != after:
        record["normaliser"] = "fitted to this run's data, other than the one that was trained with"
    return record
