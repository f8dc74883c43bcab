"""A computation of many small kernels, recorded on a GPU and played again as one (a CUDA graph).

Where kernels take less time than Python takes to start them, Python is what is waited for. A recording is the kernels
of one computation with the very places in memory that they read and write: what it is given is copied to where they
read, what it gives from where they write, and everything else that it reads, such as weights, has to stay in its place.
Numbers that Python knows are part of the recording, so they must be the same whenever it is played.

Source: torch, "CUDA semantics", section "CUDA Graphs".
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
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
        recorder: makes the recording; one of CUDA graphs when None.
    """

    def __init__(self, recorder: Recorder | None = None) -> None:
        self._recorder = recorder or Graphs()
        self._form: list[object] | None = None
        self._held: list[Tensor] = []
        self._found: Any = None
        self._play: Callable[[], object] | None = None

    def of(self, parts: Sequence[object], given: tuple[Any, ...], compute: Callable[..., T]) -> T:
        """What the computation gives.

        Args:
            parts: all of ``given`` that it depends on, in a row: tensors, and what can be compared.
            given: its arguments.
            compute: gives tensors, in nested records, of them; it may also write into tensors that stay in their
                places, such as gradients. It is the same every time.

        Raises:
            UserError: it cannot be recorded.
        """
        form = [described(each) if isinstance(each, Tensor) else each for each in parts]
        if self._form is None:
            self._form = form
            return self._recorder.aside(lambda: compute(*given))
        if form != self._form:
            return compute(*given)
        tensors_given = [each for each in parts if isinstance(each, Tensor)]
        if self._play is None:
            copies = {id(each): copied(each) for each in tensors_given}
            held = mapped(given, lambda each: copies[id(each)])
            self._held = [alone(copies[id(each)]) for each in tensors_given]
            self._play, self._found = self._recorder.recorded(lambda: compute(*held))
        for there, here in zip(self._held, tensors_given, strict=True):
            there.copy_(alone(here))
        self._play()
        found: T = mapped(self._found, Tensor.clone)
        return found


class Graphs:
    """Records CUDA graphs, on a stream of their own."""

    def aside(self, compute: Callable[[], T]) -> T:
        """Compute on the stream that is recorded; what follows waits for it, as ``Recorder`` says."""
        stream, here = _stream(torch.cuda.current_device()), torch.cuda.current_stream()
        stream.wait_stream(here)
        with torch.cuda.stream(stream):
            found = compute()
        here.wait_stream(stream)
        for tensor in tensors(found):
            tensor.record_stream(here)
        return found

    def recorded(self, compute: Callable[[], T]) -> tuple[Callable[[], object], T]:
        """A CUDA graph, as ``Recorder`` says."""
        graph = torch.cuda.CUDAGraph()
        try:
            with _RECORDING:
                torch.cuda.synchronize()
                torch.cuda.empty_cache()  # a recording has memory of its own, beside what was computed aside
                with torch.cuda.stream(_stream(torch.cuda.current_device())):
                    found = _captured(graph, compute)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            why = str(error).strip().splitlines()[0]
            raise UserError(f"cuda_graph: this computation cannot be recorded ({why}); leave cuda_graph out") from error
        return graph.replay, found


_RECORDING = threading.Lock()  # a process can record one thing at a time


def _captured(graph: torch.cuda.CUDAGraph, compute: Callable[[], T]) -> T:
    graph.capture_begin(capture_error_mode="thread_local")  # threads that read data may use the GPU meanwhile
    try:
        found = compute()
    except BaseException:
        with suppress(RuntimeError):  # which only says that there was an error
            graph.capture_end()
        raise
    graph.capture_end()
    return found


@functools.cache
def _stream(device: int) -> torch.cuda.Stream:
    """One for all recordings: libraries keep memory for every stream that they have seen."""
    return torch.cuda.Stream(device)


def check_replayable(device: str) -> None:
    """Refuse to record where there is nothing to record on, before any long work.

    Args:
        device: ``cpu`` or ``cuda``.

    Raises:
        UserError: it is no GPU.
    """
    if device != "cuda":
        raise UserError(
            f"cuda_graph: records what a GPU does, and this runs on the {device}; leave it out, or say --no-cuda-graph "
            "where a run was made with it"
        )
