"""What is computed of the same things pass after pass, computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


class Once(Generic[T]):
    """The last result, given again where the very same tensors are asked about.

    They are held together with it, so that no others can come to lie where they lie. What is asked about must not be
    changed in place, nor may weights that a result is computed with, while results are kept.

    Args:
        keeps: whether results are kept.
    """

    def __init__(self, keeps: bool = False) -> None:
        self._keeps = keeps
        self._last: tuple[tuple[object, ...], T] | None = None

    @property
    def keeps(self) -> bool:
        """Whether results are kept now: never those that gradients may flow through."""
        return self._keeps and not torch.is_grad_enabled()

    def keep(self, wanted: bool) -> bool:
        """Keep results from now on, or forget the last one and keep none.

        Returns:
            what was so before.
        """
        before, self._keeps = self._keeps, wanted
        if not wanted:
            self._last = None
        return before

    def of(self, given: Sequence[object], compute: Callable[[], T]) -> T:
        """What is computed of some things.

        Args:
            given: all that it depends on: tensors, which are the same only where they are the same object, and what
                can be compared.
            compute: gives the result.
        """
        if not self.keeps:
            return compute()
        if self._last is None or not _same(self._last[0], given):
            self._last = None
            self._last = (tuple(given), compute())
        return self._last[1]


def _same(known: Sequence[object], given: Sequence[object]) -> bool:
    return len(known) == len(given) and all(
        one is other or (not (isinstance(one, Tensor) or isinstance(other, Tensor)) and one == other)
        for one, other in zip(known, given, strict=True)
    )
