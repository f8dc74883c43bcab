"""Runs that are disturbed, and what must be true of each afterwards.

After every fault the run folder opens, or says in one line that nothing is saved in it yet; after the next start
nothing temporary is left; and in the end weights, averages, optimiser, log (without rates), samples and the list of
files are those of a run that nothing disturbed.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from beeline.core.files import read_json
from beeline.model.format import DESCRIPTION, WEIGHTS, read_tensors
from tests.conftest import FAST, lines_of
from tests.faults.injection import Plan
from tests.faults.server import Child, Ended, Server
from tests.train.helpers import fingerprint, flags

STEPS = 16
_NOTHING = re.compile(r"beeline: \S+: (this run has saved no model yet|no such run)[^\n]*\n")


@dataclass(frozen=True)
class Job:
    """What is trained.

    Args:
        target: recipe, file or folder.
        options: more dotted options.
    """

    target: str
    options: dict[str, Any] = field(default_factory=dict)

    def words(self, out: Path) -> list[str]:
        """The command that begins it, or goes on with it."""
        options = {**FAST, "train.steps": STEPS, **self.options}
        return ["train", self.target, "--out", str(out), "--resume", *flags(options)]


DIGITS = Job("digits")


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Args:
        fault: what was done.
        strikes: how often.
        restarts: starts of the run after a strike.
        seen: how the process ends, and what it says.
        afterwards: how the run goes on.
    """

    fault: str
    strikes: int
    restarts: int
    seen: str
    afterwards: str = "`--resume`: bit-identical"


class Bench:
    """Where faults are tried.

    Args:
        server: of processes.
        place: an empty folder.
    """

    def __init__(self, server: Server, place: Path) -> None:
        self.server, self.place = server, place
        self.restarts = self.strikes = self.cases = 0
        self._undisturbed: dict[tuple[str, ...], Path] = {}
        self._half_way: Path | None = None

    def fresh(self) -> Path:
        """A place for a run, alone in its folder."""
        self.cases += 1
        folder = self.place / f"case-{self.cases:04}"
        folder.mkdir(parents=True)
        return folder / "run"

    def half_way(self) -> Path:
        """A place with a copy of a run that was killed on the way to its third checkpoint of four."""
        if self._half_way is None:
            self._half_way = self.fresh()
            self.strike(self._half_way, Plan("SIGKILL", 1, "step-000012"))
        out = self.fresh()
        shutil.copytree(self._half_way, out)
        return out

    def start(
        self, out: Path, plan: Plan | None = None, job: Job = DIGITS, words: Sequence[str] = ("silent",)
    ) -> Child:
        """Begin a run or go on with it.

        Args:
            out: the run folder.
            plan: the fault.
            job: what is trained.
            words: the verbosity, and more words of the command.
        """
        plan = replace(plan or Plan(), under=str(out.parent), stash=str(self.place / "stash" / out.parent.name))
        return self.server.start([*job.words(out), "--verbosity", *words], plan)

    def strike(self, out: Path, plan: Plan, job: Job = DIGITS) -> Ended:
        """Start a run that a fault hits: it is killed, or says in one line what happened; its folder opens."""
        self.strikes += 1
        best = out / "best" / WEIGHTS
        had_best = best.exists()
        ended = self.start(out, plan, job).wait()
        assert best.exists() or not had_best, (plan, ended)
        if plan.strike in ("SIGKILL", "SIGHUP", "power cut"):
            assert ended.code in (-9, -1), (plan, ended)
            assert ended.errors == "", ended
        else:
            assert_one_line(ended)
        self.check_readable(out)
        return ended

    def refused(self, out: Path, job: Job = DIGITS) -> str:
        """Start a run that cannot go on, and says why in one line; the line."""
        self.strikes += 1
        ended = self.start(out, None, job).wait()
        assert_one_line(ended)
        return ended.errors

    def resume(self, out: Path, job: Job = DIGITS) -> None:
        """Go on to the end, which must be that of the undisturbed run."""
        self.restarts += 1
        ended = self.start(out, None, job).wait()
        assert ended.code == 0, ended
        assert ended.errors == "", ended
        assert traces(out) == traces(self.undisturbed(job))
        assert [path.name for path in out.parent.iterdir()] == [out.name]

    def undisturbed(self, job: Job = DIGITS) -> Path:
        """A run that nothing disturbs."""
        key = tuple(job.words(Path()))
        if key not in self._undisturbed:
            out = self._undisturbed[key] = self.fresh()
            ended = self.start(out, None, job).wait()
            assert (ended.code, ended.errors) == (0, ""), ended
        return self._undisturbed[key]

    def operations(self, out: Path, begin: str = "", end: str = "") -> list[str]:
        """The file operations of a run from the first on a path with ``begin`` in it up to the first that is ``end``.

        Args:
            out: the run folder, which is left finished.
            begin: part of a path.
            end: regular expression for the last of them; all when empty.
        """
        trace = self.place / f"trace-{self.cases}"
        assert self.start(out, Plan(begin=begin, trace=str(trace))).wait().code == 0
        lines = trace.read_text().splitlines()
        last = next((number for number, line in enumerate(lines) if end and re.search(end, line)), len(lines) - 1)
        return lines[: last + 1]

    def check_readable(self, out: Path) -> None:
        """The run folder opens, its best model and each of its checkpoints; or it says that nothing is saved yet."""
        done = self.inspect(out)
        empty = out.is_dir() and not any(out.iterdir())
        assert done.code == 0 or (done.code == 2 and (empty or _NOTHING.fullmatch(done.errors))), done
        if (out / "best" / WEIGHTS).exists():
            read_tensors(out / "best" / WEIGHTS)
            read_json(out / "best" / DESCRIPTION)
        for checkpoint in (out / "checkpoints").glob("step-*"):
            done = self.inspect(checkpoint)
            assert done.code == 0, done

    def inspect(self, path: Path) -> Ended:
        """``beeline inspect`` of a run or a checkpoint."""
        return self.server.start(["inspect", str(path)], Plan()).wait()

    def row(self, fault: str, seen: str, before: tuple[int, int], afterwards: str | None = None) -> Row:
        """The line of a fault, given ``counts()`` before it."""
        strikes, restarts = self.strikes - before[0], self.restarts - before[1]
        return Row(fault, strikes, restarts, seen, *([afterwards] if afterwards else []))

    def counts(self) -> tuple[int, int]:
        """Strikes and restarts so far."""
        return self.strikes, self.restarts


def traces(out: Path) -> dict[str, Any]:
    """All that two equal runs have in common, and the names of all their files."""
    files = [path for path in sorted(out.rglob("*")) if path.is_file() and path.parent.name != "tensorboard"]
    kept = [path for path in files if path.suffix == ".png" or path.parent.name in ("snapshots", "best")]
    hashes = {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}
    names = [
        re.sub(r"step-\d+", "step", str(path.relative_to(out))) for path in files
    ]  # a signal saves at its own step
    return {**fingerprint(out), **hashes, "files": names}


def assert_one_line(ended: Ended) -> None:
    """It failed, and said why in one line."""
    assert ended.code in (1, 2), ended
    assert lines_of(ended.errors)[0].startswith("beeline: "), ended
    assert len(lines_of(ended.errors)) == 1, ended
    assert "Errno" not in ended.errors, ended
    assert "failed: " not in ended.errors, ended


def shown(line: str, out: Path) -> str:
    """A line as the table shows it: without the name of the folder."""
    text = line.removeprefix("beeline: ").strip().replace(str(out), "RUN").replace(str(out.parent), "PLACE")
    return text.replace("|", "\\|")
