"""What a run keeps of its model as it was before the first step, so that resuming needs nothing from elsewhere.

init/model.safetensors, init/model.json     all tensors, those that never change among them, and their description
init.json                                   what became of each tensor of the network that the run began from
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from beeline.core.errors import UserError
from beeline.core.files import remove_folder, write_json
from beeline.model.format import INITIAL, tensors_bytes, write_slim


class Initial:
    """The kept model of one run.

    Args:
        run: the run folder.
    """

    def __init__(self, run: Path) -> None:
        self.folder = run / INITIAL
        self.table = run / "init.json"

    def write(self, tensors: Mapping[str, Tensor] | None, description: Mapping[str, Any]) -> None:
        """Keep a model, or nothing in place of what a kill has left from before the run began.

        Args:
            tensors: by name; None where the run's seed gives all of them.
            description: contents of model.json.
        """
        remove_folder(self.folder)
        self.table.unlink(missing_ok=True)
        if tensors is not None:
            write_slim(self.folder, tensors_bytes(tensors, {"step": "0"}), {**description, "ema": {"profile": "none"}})
        if "began" in description:
            write_json(self.table, description["began"])

    def find(self, must: bool) -> Path | None:
        """The folder, None where the run's seed gives all tensors.

        Args:
            must: whether there has to be one.

        Raises:
            UserError: it has to, and is gone.
        """
        if self.folder.is_dir():
            return self.folder
        if must:
            raise UserError(f"{self.folder}: is gone, and the run cannot go on without; bring it back, or begin anew")
        return None
