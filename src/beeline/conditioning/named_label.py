"""A label whose classes are the texts of a column, such as cell types: asked for, kept and written by name."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

import numpy as np

from beeline.conditioning.label import ClassLabel
from beeline.conditioning.named_sets import some_of
from beeline.core.errors import UserError


@dataclass(frozen=True)
class NamedLabel(ClassLabel):
    """A class label that is a text wherever people meet it."""

    def parse(self, text: str) -> Any:
        """The name of a class, also where its number is given and no class is called so.

        Raises:
            UserError: it is neither.
        """
        if text in self.names:
            return text
        if text.isdecimal() and int(text) < self.classes:
            return self.names[int(text)]
        return self.names[self._number(text)]

    def taken(self, value: Any) -> Any:
        """The name of a class in place of its number; all else as it is."""
        whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        return self.names[int(value)] if whole and 0 <= value < self.classes else value

    def _number(self, name: str) -> int:
        """The class of a name, exactly as it is written."""
        if name in self.names:
            return self.names.index(name)
        near = difflib.get_close_matches(name, self.names, n=1, cutoff=0.5)
        hint = f"; the nearest is '{near[0]}'" if near else ""
        raise UserError(
            f"condition {self.name}={name}: no training cell was of it, so that nothing is known of it; training had "
            f"{some_of(self.names)}{hint}"
        )
