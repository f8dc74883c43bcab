"""What is known of a sample and not told to the network: the cell type of a control cell, a site, a file."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from beeline.conditioning.named_sets import some_of
from beeline.core.errors import UserError
from beeline.core.protocols import Route, Tokenizer


@dataclass(frozen=True)
class Beside:
    """A text that goes into files and measures alone; one that the data never said is taken for a slip of the pen.

    Args:
        name: key in ``Example.condition``.
        values: that the data have, held-out ones among them; none where nothing is known of them.
        through: condition by which alone the network knows what this one names; empty for none.
    """

    name: str
    values: tuple[str, ...] = ()
    through: str = ""

    route: ClassVar[Route] = "beside"
    choices: ClassVar[None] = None
    dropout: ClassVar[float] = 0.0
    has_null: ClassVar[bool] = True
    channels: ClassVar[int] = 1

    def fit(self, values: Iterable[Any]) -> Self:
        """Nothing to measure."""
        return self

    def encode(self, value: Any) -> Tensor:
        """Nothing that a network could see.

        Raises:
            UserError: the value is neither None nor one that the data have.
        """
        if value is not None:
            self._known(value)
        return torch.zeros(0)

    def taken(self, value: Any) -> Any:
        """A value as the text that the data have; None, and several of them, as they are.

        Raises:
            UserError: the data have no such value.
        """
        return value if value is None or _are_several(value) else self._known(value)

    def parse(self, text: str) -> str:
        """The text as it is.

        Raises:
            UserError: the data have no such value.
        """
        return self._known(text)

    def embedder(self, hidden_size: int, tokenizer: Tokenizer) -> nn.Module:
        """None is needed."""
        return nn.Identity()

    def _known(self, value: Any) -> str:
        if _are_several(value):
            raise UserError(f"condition {self.name}: need one text, or a list of as many as samples, not {value!r}")
        if self.values and str(value) not in self.values:
            near = difflib.get_close_matches(str(value), self.values, n=1, cutoff=0.5)
            hint = f"; the nearest is '{near[0]}'" if near else ""
            raise UserError(
                f"condition {self.name}={value}: no cell of the data was of it; they have {some_of(self.values)}{hint}"
                "; leave it out where control cells are of another: they say where a sample belongs"
            )
        return str(value)


def _are_several(value: Any) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, str)
