"""What is computed of the same things pass after pass, computed once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


class Once(Generic[T]):
    """The last result, given again where the very same tensors are asked about, unchanged.

    They are held together with it, so that no others can come to lie where they lie. Every thread has a last result of
    its own; copies begin without any. Weights that results are computed with must not change while they are kept.

    Args:
        always: whether results are kept outside of ``keeping`` too.
    """

    def __init__(self, always: bool = False) -> None:
        self._always = always
        self._own = threading.local()

    @property
    def keeps(self) -> bool:
        """Whether results are kept now: never those that gradients may flow through."""
        return (self._always or self._depth > 0) and not torch.is_grad_enabled()

    @property
    def note(self) -> Any:
        """What ``keeping`` was given, None outside of it."""
        return getattr(self._own, "note", None)

    @contextmanager
    def keeping(self, note: Any = None) -> Iterator[None]:
        """Keep results for a while, and forget them then.

        Args:
            note: on how they are computed meanwhile, to be read by this thread.
        """
        before = self.note
        self._own.depth, self._own.note = self._depth + 1, note
        try:
            yield
        finally:
            self._own.depth -= 1
            self._own.note = before
            if not self._own.depth:
                self._own.last = None

    def of(self, given: Sequence[object], compute: Callable[[], T]) -> T:
        """What is computed of some things.

        Args:
            given: all that it depends on: tensors, which are the same only where they are the same object and were not
                written into since, and what can be compared.
            compute: gives the result.
        """
        if not self.keeps:
            return compute()
        last, versions = getattr(self._own, "last", None), [_version(each) for each in given]
        if last is None or last[1] != versions or not _same(last[0], given):
            self._own.last = None  # before the next one takes memory
            last = self._own.last = (tuple(given), versions, compute())
        found: T = last[2]
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        return Once, (self._always,)

    @property
    def _depth(self) -> int:
        return getattr(self._own, "depth", 0)


def _version(given: object) -> int:
    """How often a tensor was written into, -1 where nobody counts."""
    return -1 if not isinstance(given, Tensor) or given.is_inference() else given._version


def _same(known: Sequence[object], given: Sequence[object]) -> bool:
    return len(known) == len(given) and all(
        one is other or (not (isinstance(one, Tensor) or isinstance(other, Tensor)) and one == other)
        for one, other in zip(known, given, strict=True)
    )
