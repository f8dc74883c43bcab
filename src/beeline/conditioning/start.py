"""Another sample of the same kind that a path starts from: a control cell, a map of a cheaper simulation.

The path ends at it (process.source condition, process.end NAME), and what is sampled is its answer. It is brought into
tokens as the data are, by the same normaliser, so that a sample that should stay as it is has a path of no length.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from beeline.core.errors import UserError
from beeline.core.protocols import Route, Tokenizer


@dataclass(frozen=True)
class StartingSample:
    """A native array of the shape of the data.

    Args:
        name: key in ``Example.condition``.
        shape: of an array, once fitted.
    """

    name: str
    shape: tuple[int, ...] = ()

    route: ClassVar[Route] = "start"
    choices: ClassVar[None] = None
    dropout: ClassVar[float] = 0.0
    has_null: ClassVar[bool] = False
    channels: ClassVar[int] = 1

    def fit(self, values: Iterable[Any]) -> Self:
        """Measure the shape, which all training values share.

        Raises:
            UserError: one is missing, is no finite array, or has another shape.
        """
        fitted = self
        for value in values:
            fitted = replace(fitted, shape=tuple(np.shape(value))) if not fitted.shape else fitted
            if value is None:
                raise UserError(f"condition {self.name}: is missing; a path starts from it")
            fitted.encode(value)
        return fitted

    def encode(self, value: Any) -> Tensor:
        """The array as float32; None as a single zero, which stands for no array.

        Raises:
            UserError: it is not finite or has another shape than those of training.
        """
        if value is None:
            return torch.zeros(1)
        try:
            array = np.asarray(value, dtype=np.float32)
        except (TypeError, ValueError):
            raise UserError(f"condition {self.name}: needs an array of numbers, not a {type(value).__name__}") from None
        if array.shape != self.shape or not np.isfinite(array).all():
            raise UserError(
                f"condition {self.name}: needs a finite array of shape {self.shape}, as in training, not {array.shape}"
            )
        return torch.from_numpy(array)

    def parse(self, text: str) -> Any:
        """The array of a .npy file.

        Raises:
            UserError: there is no such file, or it holds none.
        """
        try:
            return np.load(text, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise UserError(f"condition {self.name}={text}: not a readable .npy file ({error})") from None

    def embedder(self, hidden_size: int, tokenizer: Tokenizer) -> nn.Module:
        """None is needed: the network sees a start through x_t."""
        return nn.Identity()
