"""A control cell that an answer starts from, also by the name of an AnnData file whose cells are taken in turn."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beeline.conditioning.start import StartingSample
from beeline.data.cell_choice import CellDescription
from beeline.data.cell_reading import given_cells


@dataclass(frozen=True)
class ControlCell(StartingSample):
    """A cell in the genes and on the scale of the training data.

    Args:
        description: of the training data, as text: genes, scale, target.
        layer: of the numbers in files; X when None.
    """

    description: str = ""
    layer: str | None = None

    def parse(self, text: str) -> Any:
        """The cells of an .h5ad, brought to the genes and the scale of training: a list for as many samples.

        Raises:
            UserError: there is no such file, or it lacks genes or is on another scale.
        """
        if not text.endswith(".h5ad"):
            return super().parse(text)
        return list(given_cells(Path(text), CellDescription.read(self.description), self.layer))

    def taken(self, value: Any) -> Any:
        """The cells of an AnnData, or of the .h5ad that a path names, as a list; other forms as they are.

        Raises:
            UserError: genes are missing, or the numbers are on another scale.
        """
        if isinstance(value, (str, Path)):
            return self.parse(str(value))
        if not hasattr(value, "write_h5ad"):
            return value
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "control.h5ad"
            value.write_h5ad(path)
            return self.parse(str(path))
