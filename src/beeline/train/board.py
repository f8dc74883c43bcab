"""The log for TensorBoard, where its package is installed."""

from __future__ import annotations

import io
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from beeline.core.errors import UserError
from beeline.core.files import append_bytes, make_folder
from beeline.train.folder import RunFolder

Draw = Callable[[Mapping[str, Any]], None]


def has_tensorboard() -> bool:
    """Whether its package is installed."""
    return find_spec("tensorboard") is not None


@contextmanager
def board(folder: RunFolder, wanted: bool | None, step: int) -> Iterator[Draw]:
    """A function that takes lines of the log; it does nothing where TensorBoard is not wanted or not there.

    Args:
        folder: the run; events lie in its ``tensorboard``.
        wanted: whether to write; where it is installed when None.
        step: from which the run goes on; events beyond it, of a run that was killed, are hidden.

    Raises:
        UserError: it is wanted and not installed.
        OSError: its file cannot be written.
    """
    if wanted and not has_tensorboard():
        raise UserError('train.tensorboard: tensorboard is not installed; pip install "beeline[log]"')
    if wanted is False or not has_tensorboard():
        yield lambda record: None
        return
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    make_folder(folder.board)
    # TensorBoard reads files in the order of their names, whatever the clock of this machine says.
    earlier = [int(path.name.split(".")[3]) for path in folder.board.glob("events.out.tfevents.[0-9]*")]
    number = max([int(time.time()), *(each + 1 for each in earlier)])
    path = folder.board / f"events.out.tfevents.{number}.{platform.node()}.{os.getpid()}"

    # The package's own writer has a thread that fails unheard.
    def add(**contents: Any) -> None:
        record = io.BytesIO()
        RecordWriter(record).write(Event(wall_time=time.time(), **contents).SerializeToString())
        append_bytes(path, record.getvalue())

    add(file_version="brain.Event:2")
    add(step=step + 1, session_log=SessionLog(status=SessionLog.START))

    def draw(record: Mapping[str, Any]) -> None:
        values = [
            Summary.Value(tag=name, simple_value=value)
            for name, value in record.items()
            if name != "step" and isinstance(value, (int, float))
        ]
        add(step=record["step"], summary=Summary(value=values))

    yield draw
