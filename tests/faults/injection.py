"""What happens to a child: it is killed, signalled or refused room at one of its file operations, or its disk is slow.

Every operation by which the package changes files is counted: opening for writing, each half of a write (so that a file
may be torn in two), fsync, rename, making and deleting. Number n of them is where the fault strikes, before it is done;
striking at n + 1 is the same as striking after n, so that counting through hits every gap.
"""

from __future__ import annotations

import builtins
import errno
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

_NEEDS_ROOM = {"open", "write", "mkdir"}
_SIGNALS = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")


@dataclass(frozen=True)
class Plan:
    """The fault of one child.

    Args:
        strike: name of a signal, ``SIGINT twice``, ``power cut`` (a kill after which all that was not synced is gone),
            or of an error number such as ``ENOSPC``; empty for none.
        at: number of the operation before which it strikes, from 1.
        begin: counting begins with the first operation on a path that contains this.
        only: count only operations of this kind on paths that contain ``begin``; every kind when empty.
        onwards: an error stays: every later operation that it concerns fails too.
        slow_path: reading a file on a path that contains this takes ``delay``, as does every fsync when empty.
        delay: in seconds.
        clock: seconds by which the clock is set back at each reading.
        nan: step, counted from 1, whose gradient is not a number.
        trace: file to list the operations in.
        under: operations elsewhere are not counted.
        stash: folder beside the run, for what a power cut brings back.
    """

    strike: str = ""
    at: int = 0
    begin: str = ""
    only: str = ""
    onwards: bool = False
    slow_path: str = ""
    delay: float = 0.0
    clock: float = 0.0
    nan: int = 0
    trace: str = ""
    under: str = ""
    stash: str = ""


class _Volatile:
    """What a power cut takes: bytes and names that were not synced."""

    def __init__(self, stash: Path) -> None:
        self.stash = stash
        self.synced: dict[int, int] = {}
        self.handles: dict[int, int] = {}
        self.undo: list[tuple[int, Callable[[], None]]] = []
        self.stash.mkdir(parents=True, exist_ok=True)

    def opened(self, path: str, handle: int, fresh: bool) -> None:
        status = os.fstat(handle)
        self.synced.setdefault(status.st_ino, 0 if fresh else status.st_size)
        self.handles.setdefault(status.st_ino, os.dup(handle))
        if fresh:
            self._pending(path, partial(Path(path).unlink, missing_ok=True))

    def synced_now(self, handle: int) -> None:
        status = os.fstat(handle)
        if status.st_ino in self.synced:
            self.synced[status.st_ino] = status.st_size
        self.undo = [each for each in self.undo if each[0] != status.st_ino]

    def renaming(self, source: str, target: str) -> None:
        kept = None
        if os.path.isfile(target):
            kept = self.stash / str(len(list(self.stash.iterdir())))
            os.link(target, kept)
        self._pending(target, partial(self._rename_back, source, target, kept))

    def made(self, path: str) -> None:
        self._pending(path, partial(shutil.rmtree, path, ignore_errors=True))

    def lose(self) -> None:
        for number, length in self.synced.items():
            os.ftruncate(self.handles[number], length)
        for _, undo in reversed(self.undo):
            undo()

    def _pending(self, path: str, undo: Callable[[], None]) -> None:
        self.undo.append((os.stat(os.path.dirname(path) or ".").st_ino, undo))

    @staticmethod
    def _rename_back(source: str, target: str, kept: Path | None) -> None:
        if os.path.exists(target):
            os.rename(target, source)
        if kept is not None:
            os.rename(kept, target)


class _Torn:
    """A file open for writing whose every write happens in two halves."""

    def __init__(self, file: Any, path: str, strike: Callable[[str, str], None]) -> None:
        self._file, self._path, self._strike = file, path, strike

    def write(self, data: Any) -> int:
        for half in (data[: len(data) // 2], data[len(data) // 2 :]):
            self._strike("write", self._path)
            self._file.write(half)
            self._file.flush()
        return len(data)

    def __enter__(self) -> _Torn:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class Injection:
    """Puts a plan between the package and the system, for the rest of this process."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.count = 0
        self.begun = not plan.begin
        self.struck = False
        self.volatile = _Volatile(Path(plan.stash)) if plan.strike == "power cut" else None

    def install(self) -> None:
        """Replace what the package calls; under the names by which it calls it."""
        for name in ("replace", "rename", "mkdir", "unlink", "remove", "rmdir"):
            setattr(os, name, partial(self._change, name, getattr(os, name)))
        os.fsync = partial(self._fsync, os.fsync)
        os.open = partial(self._os_open, os.open)
        builtins.open = partial(self._open, builtins.open)
        if self.plan.clock:
            real, readings = time.time, iter(range(10**9))
            time.time = lambda: real() - self.plan.clock * next(readings)

        if self.plan.nan:
            _spoil(self.plan.nan)

    def _reach(self, kind: str, path: str) -> None:
        """An operation is about to be done."""
        plan = self.plan
        if plan.under not in os.path.abspath(path):
            return
        here = not plan.begin or plan.begin in path
        self.begun = self.begun or here
        if not self.begun or (plan.only and not (here and kind == plan.only)):
            return
        self.count += 1
        if plan.trace:
            handle = _OS_OPEN(plan.trace, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.write(handle, f"{kind} {path}\n".encode())
            os.close(handle)
        if plan.strike and (self.count == plan.at or (self.struck and plan.onwards)):
            self.struck = True
            self._strike(kind, path)

    def _strike(self, kind: str, path: str) -> None:
        strike = self.plan.strike
        if strike == "power cut":
            assert self.volatile is not None
            self.volatile.lose()
            os.kill(os.getpid(), signal.SIGKILL)
        elif strike in _SIGNALS:
            os.kill(os.getpid(), getattr(signal, strike))
        elif strike == "SIGINT twice":
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
        elif strike not in ("ENOSPC", "EDQUOT") or kind in _NEEDS_ROOM:
            number = getattr(errno, strike)
            raise OSError(number, os.strerror(number), *([path] if kind not in ("write", "fsync") else []))

    def _change(self, name: str, real: Callable[..., Any], path: Any, *others: Any, **options: Any) -> Any:
        kind = {"replace": "rename", "remove": "unlink"}.get(name, name)
        self._reach(kind, str(others[0]) if kind == "rename" else str(path))
        if self.volatile and kind == "rename":
            self.volatile.renaming(os.path.abspath(path), os.path.abspath(others[0]))
        done = real(path, *others, **options)
        if self.volatile and kind == "mkdir":
            self.volatile.made(os.path.abspath(path))
        return done

    def _fsync(self, real: Callable[[int], None], handle: int) -> None:
        self._reach("fsync", os.readlink(f"/proc/self/fd/{handle}"))
        if self.plan.delay and not self.plan.slow_path:
            time.sleep(self.plan.delay)
        real(handle)
        if self.volatile:
            self.volatile.synced_now(handle)

    def _os_open(self, real: Callable[..., int], path: Any, flags: int, *others: Any, **options: Any) -> int:
        if flags & os.O_CREAT:
            self._reach("open", str(path))
        return real(path, flags, *others, **options)

    def _open(self, real: Callable[..., Any], path: Any, mode: str = "r", *others: Any, **options: Any) -> Any:
        writing = any(letter in mode for letter in "wax") and isinstance(path, (str, os.PathLike))
        if not writing:
            if self.plan.slow_path and self.plan.slow_path in str(path):
                time.sleep(self.plan.delay)
            return real(path, mode, *others, **options)
        where = os.path.abspath(path)
        if where == os.devnull:
            return real(path, mode, *others, **options)
        self._reach("open", where)
        fresh = not os.path.exists(where)
        file = real(path, mode, *others, **options)
        if self.volatile:
            self.volatile.opened(where, file.fileno(), fresh)
        return _Torn(file, where, self._reach)


def _spoil(step: int) -> None:
    """Make the gradient of a step not a number."""
    from torch.nn import utils

    from beeline.train.trainer import Trainer

    learn, clip, now = Trainer._learn, utils.clip_grad_norm_, {"step": 0}

    def noted(self: Trainer) -> bool:
        now["step"] = self.step + 1
        return learn(self)

    def spoilt(parameters: Any, *others: Any, **options: Any) -> Any:
        if now["step"] == step:
            parameters[0].grad.fill_(float("nan"))
        return clip(parameters, *others, **options)

    Trainer._learn = noted  # type: ignore[method-assign]
    utils.clip_grad_norm_ = spoilt


_OS_OPEN = os.open
