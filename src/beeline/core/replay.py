"""A computation of many small kernels, recorded on a GPU and played again as one (a CUDA graph).

Where kernels take less time than Python takes to start them, Python is what is waited for. A recording is the kernels
of one computation with the very places in memory that they read and write: what it is given is copied to where they
read, what it gives from where they write, and everything else that it reads, such as weights, has to stay in its place.
Numbers that Python knows are part of the recording, so they must be the same whenever it is played.

Source: torch, "CUDA semantics", section "CUDA Graphs".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from beeline.core.errors import UserError
from beeline.core.nested import alone, copied, described, mapped, tensors

T = TypeVar("T")


class Recorder(Protocol):
    """Records computations."""

    def aside(self, compute: Callable[[], T]) -> T:
        """What a computation gives that is made before it is recorded, so that whatever is made once is made.

        Args:
            compute: it.
        """
        ...

    def recorded(self, compute: Callable[[], T]) -> tuple[Callable[[], object], T]:
        """What plays a recording of a computation, and tensors that then hold what it gives.

        Args:
            compute: it.

        Raises:
            UserError: it cannot be recorded.
        """
        ...


class Replay(Generic[T]):
    """A computation that is recorded when it is made for the second time, and then played.

    The first time it is computed as it is, so that whatever is made once is made before. What is given later in another
    form (other shapes, other numbers that Python knows) is computed as it is.

    Args:
        compute: gives tensors, in nested records, of what it is given; it may also write into tensors that stay in
            their places, such as gradients.
        parts: all that it depends on of what it is given, in a row: tensors, and what can be compared.
        recorder: makes the recording; one of CUDA graphs when None.
    """

    def __init__(
        self, compute: Callable[..., T], parts: Callable[..., Sequence[object]], recorder: Recorder | None = None
    ) -> None:
        self._compute = compute
        self._parts = parts
        self._recorder = recorder or Graphs()
        self._form: list[object] | None = None
        self._held: list[Tensor] = []
        self._found: Any = None
        self._play: Callable[[], object] | None = None

    def __call__(self, *given: Any) -> T:
        """What the computation gives.

        Raises:
            UserError: it cannot be recorded.
        """
        parts = self._parts(*given)
        form = [described(each) if isinstance(each, Tensor) else each for each in parts]
        if self._form is None:
            self._form = form
            return self._recorder.aside(lambda: self._compute(*given))
        if form != self._form:
            return self._compute(*given)
        if self._play is None:
            held = mapped(given, copied)
            self._held = _lying(self._parts(*held))
            self._play, self._found = self._recorder.recorded(lambda: self._compute(*held))
        for there, here in zip(self._held, _lying(parts), strict=True):
            there.copy_(here)
        self._play()
        found: T = mapped(self._found, Tensor.clone)
        return found


def _lying(parts: Sequence[object]) -> list[Tensor]:
    return [alone(each) for each in parts if isinstance(each, Tensor)]


class Graphs:
    """Records CUDA graphs, on a stream of its own."""

    def __init__(self) -> None:
        self._stream: torch.cuda.Stream | None = None

    def aside(self, compute: Callable[[], T]) -> T:
        """Compute on the stream that is recorded; what follows waits for it, as ``Recorder`` says."""
        self._stream = self._stream or torch.cuda.Stream()
        here = torch.cuda.current_stream()
        self._stream.wait_stream(here)
        with torch.cuda.stream(self._stream):
            found = compute()
        here.wait_stream(self._stream)
        for tensor in tensors(found):
            tensor.record_stream(here)
        return found

    def recorded(self, compute: Callable[[], T]) -> tuple[Callable[[], object], T]:
        """A CUDA graph, as ``Recorder`` says."""
        graph = torch.cuda.CUDAGraph()
        try:
            # Threads that read data may use the GPU meanwhile.
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                found = compute()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            why = str(error).strip().splitlines()[0]
            raise UserError(f"cuda_graph: this computation cannot be recorded ({why}); leave cuda_graph out") from error
        return graph.replay, found


def check_replayable(device: str) -> None:
    """Refuse to record where there is nothing to record on, before any long work.

    Args:
        device: ``cpu`` or ``cuda``.

    Raises:
        UserError: it is no GPU.
    """
    if device != "cuda":
        raise UserError(f"cuda_graph: records what a GPU does, and this runs on the {device}; leave it out")
