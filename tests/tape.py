"""A recorder without a GPU: what a CUDA graph keeps and what it loses, on the CPU.

It notes every operation with the very tensors that it reads and writes, numbers that Python knew among its arguments,
and plays them again on those tensors. What Python does beside operations is not noted, as little as a GPU notes it.
What a GPU would be waited for is refused: numbers that Python asks for or sends, and shapes that depend on numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from beeline.core import random
from beeline.core.errors import UserError
from beeline.core.nested import tensors

T = TypeVar("T")
_WAITED_FOR = (
    "_local_scalar_dense",
    "lift_fresh",
    "nonzero",
    "masked_select",
    "unique",
    "repeat_interleave.Tensor",
    "bincount",
)
_ASKED_FOR = ("tolist", "numpy", "cpu")


class _Notes(TorchDispatchMode):
    """Notes operations, and undoes in the end what they have written into tensors that were there before."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []
        self._made: set[int] = set()
        self._before: list[tuple[Tensor, Tensor]] = []

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        _refuse_waits(func, args)
        if func._schema.is_mutable:
            for tensor in tensors([args, kwargs or {}]):
                if tensor.untyped_storage().data_ptr() not in self._made:
                    self._before.append((tensor, tensor.clone()))
        found = func(*args, **(kwargs or {}))
        if not func._schema.is_mutable:
            given = {each.untyped_storage().data_ptr() for each in tensors([args, kwargs or {}])}
            self._made |= {each.untyped_storage().data_ptr() for each in tensors([found])} - given
        self.calls.append((func, args, kwargs or {}, found))
        return found

    def __enter__(self) -> Any:
        self._asking = pytest.MonkeyPatch()
        for name in _ASKED_FOR:
            self._asking.setattr(torch.Tensor, name, _refuse_asking)
        return super().__enter__()

    def __exit__(self, *raised: Any) -> None:
        self._asking.undo()
        super().__exit__(*raised)

    def undo(self) -> None:
        for tensor, before in reversed(self._before):
            tensor.copy_(before)

    def play(self) -> None:
        Tape.played += 1
        with torch.no_grad(), torch.autocast("cpu", enabled=False):  # what is noted has been cast already
            for func, args, kwargs, there in self.calls:
                for new, old in zip(tensors([func(*args, **kwargs)]), tensors([there]), strict=True):
                    if new.data_ptr() != old.data_ptr():
                        old.copy_(new)


def _refuse_asking(*given: Any, **more: Any) -> Any:
    raise RuntimeError("a number is asked for while operations are recorded")


def _refuse_waits(func: Any, args: tuple[Any, ...]) -> None:
    name = str(func)
    indexed = name.startswith(("aten.index.", "aten.index_put"))
    if any(each in name for each in _WAITED_FOR) or (
        indexed and any(each is not None and each.dtype == torch.bool for each in args[1])
    ):
        raise RuntimeError(f"{name}: the GPU would be waited for while operations are recorded")


class Tape:
    """Records on the CPU, and counts what was recorded and played."""

    recorded_computations = 0
    played = 0

    def aside(self, compute: Callable[[], T]) -> T:
        """Compute."""
        return compute()

    def recorded(self, compute: Callable[[], T]) -> tuple[Callable[[], object], T]:
        """What plays a computation, and where its results are then."""
        Tape.recorded_computations += 1
        try:
            with _Notes() as notes:
                found = compute()
        except RuntimeError as error:
            raise UserError(f"cuda_graph: this computation cannot be recorded ({error})") from error
        with torch.no_grad():
            notes.undo()
        return notes.play, found


@pytest.fixture
def taped(monkeypatch: pytest.MonkeyPatch) -> type[Tape]:
    """Recording on the CPU, with draws by torch's operations, as on a GPU."""
    for module in ("beeline.core.replay", "beeline.generate.running"):
        monkeypatch.setattr(f"{module}.Graphs", Tape)
    for module in ("beeline.train.machine", "beeline.generate.running"):
        monkeypatch.setattr(f"{module}.check_replayable", lambda device: None)
    monkeypatch.setattr(random, "_words_by_numpy", random._words_by_torch)
    Tape.recorded_computations = Tape.played = 0
    return Tape
