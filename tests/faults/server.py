"""Real processes at a tenth of the price: one that has loaded torch and Beeline forks the others.

``python -m tests.faults.server`` reads requests, a line of JSON each, and answers in kind. It forks before any thread
of torch runs, and computes nothing itself.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from tests.faults.injection import Injection, Plan

ROOT = Path(__file__).resolve().parents[2]
_TIMEOUT = 120.0
_LOADED = [
    "docstring_parser",
    "jsonargparse",
    "sklearn.datasets",
    "sklearn.neighbors",
    "torch._dynamo",
    "torch._inductor",
    "beeline.cli.inspect",
    "beeline.cli.train",
    "beeline.evaluate.finish",
    "beeline.evaluate.probes",
    "beeline.modalities.images",
    "beeline.train.loop",
    "beeline.train.setup",
]


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Args:
        code: its exit code; minus the number of the signal that ended it.
        output: its standard output.
        errors: its standard error.
    """

    code: int
    output: str
    errors: str


class Child:
    """A process that the server forked."""

    def __init__(self, server: Server, pid: int, output: Path, errors: Path) -> None:
        self.server, self.pid = server, pid
        self._output, self._errors = output, errors
        self._code: int | None = None

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""
        if self._code is None:
            self._code = self.server.ask({"poll": self.pid})["code"]
        return self._code

    def send(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def wait(self) -> Ended:
        """Until it has ended."""
        deadline = time.monotonic() + _TIMEOUT
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                self.send(signal.SIGKILL)
                raise AssertionError(f"still running after {_TIMEOUT:.0f} s: {self._errors.read_text()}")
            time.sleep(0.004)
        return Ended(code, self._output.read_text(), self._errors.read_text())


class Server:
    """The parent of all children; ends with the block that it is opened in.

    Args:
        folder: for what the children print.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.started = folder, 0
        path = os.pathsep.join([str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={
                **os.environ,
                "PYTHONPATH": path,
                "OMP_NUM_THREADS": "1",
                "CUDA_VISIBLE_DEVICES": "",
                "XDG_CACHE_HOME": str(folder / "cache"),
            },
        )

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request and read its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def start(self, words: Sequence[str], plan: Plan) -> Child:
        """Start ``beeline WORDS`` with a fault."""
        self.started += 1
        output, errors = (self.folder / f"{self.started:04}.{name}" for name in ("out", "err"))
        answer = self.ask({"words": list(words), "plan": asdict(plan), "output": str(output), "errors": str(errors)})
        return Child(self, answer["pid"], output, errors)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()


def serve() -> None:
    """Answer requests until there are no more; then end what still runs."""
    _load()
    running: set[int] = set()
    for line in sys.stdin:
        request = json.loads(line)
        if "poll" in request:
            pid, status = os.waitpid(request["poll"], os.WNOHANG)
            code = os.waitstatus_to_exitcode(status) if pid else None
            running -= {pid}
            answer = {"code": code}
        else:
            pid = os.fork()
            if not pid:
                _child(request)
            running.add(pid)
            answer = {"pid": pid}
        print(json.dumps(answer), flush=True)
    for pid in running:
        os.kill(pid, signal.SIGKILL)


def _load() -> None:
    """Import what a training run imports, much of it late."""
    import torch

    for name in _LOADED:
        import_module(name)
    torch.set_num_threads(1)


def _child(request: dict[str, Any]) -> NoReturn:
    """Become ``beeline WORDS``."""
    from beeline.cli.main import main

    code = 70
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup and a shell's background jobs ignore these two
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        for number, name in ((0, os.devnull), (1, request["output"]), (2, request["errors"])):
            os.dup2(os.open(name, os.O_RDWR | os.O_CREAT), number)
        Injection(Plan(**request["plan"])).install()
        sys.argv = ["beeline", *request["words"]]
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    serve()
