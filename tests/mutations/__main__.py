"""``python -m tests.mutations [WORD ...]``: make the mathematics wrong, one place at a time, and see the proofs fail.

Each mutation of the tables is applied to a copy of the package; the proofs that own its file run against the copy, in
a process of its own, up to the first that fails. Before that they must pass on an unchanged copy, else a failure would
prove nothing. With words only the mutations of files whose names contain one of them are tried.

The exit code is 1 when a mutation survived, took too long, or names text that is no longer in its file.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import pytest

from tests.mutations.control import CONTROL
from tests.mutations.family import FAMILY
from tests.mutations.mutation import PACKAGE, ROOT, Mutation
from tests.mutations.objectives import OBJECTIVES
from tests.mutations.process import PROCESS
from tests.mutations.samplers import SAMPLERS
from tests.mutations.steps import STEPS

MUTATIONS: list[Mutation] = [*SAMPLERS, *STEPS, *CONTROL, *PROCESS, *FAMILY, *OBJECTIVES]
LIMIT = 15  # seconds of a processor's time, a mutant
_PATIENCE = 300  # seconds of waiting, on a machine that others share
_AT_ONCE = 2
# Loaded once and inherited by every mutant's process; nothing of Beeline, which each loads from its own copy.
_LOADED = ["jsonargparse", "numpy", "rich.progress", "safetensors.torch", "scipy.integrate", "torch"]


@dataclass(frozen=True)
class Case:
    """Proofs to run, against a mutation, or against the package as it is.

    Args:
        owners: the proofs, in the words that pytest takes.
        mutation: None for none.
    """

    owners: tuple[str, ...]
    mutation: Mutation | None = None


@dataclass(frozen=True)
class Verdict:
    """How a case ended.

    Args:
        case: which.
        failed: the proof that failed first; empty when all passed.
        seconds: of a processor's time.
        ended: whether it ended within the limit.
    """

    case: Case
    failed: str
    seconds: float
    ended: bool = True

    @property
    def word(self) -> str:
        """What happened, in capitals where it should not have."""
        if not self.ended:
            return "TOO SLOW"
        if self.case.mutation is None:
            return "BROKEN" if self.failed else "sound"
        return "killed" if self.failed else "SURVIVED"

    def __str__(self) -> str:
        what = self.case.mutation or " ".join(self.case.owners)
        by = f"   {self.failed.partition('::')[2] or self.failed}" if self.failed else ""
        return f"{self.word:9}{self.seconds:5.1f} s  {what}{by}"


def judge(cases: Sequence[Case], place: Path) -> Iterator[Verdict]:
    """Run cases, two at a time, each in a process forked from this one.

    Args:
        cases: what to run.
        place: an empty folder, for copies of the package.
    """
    package = shutil.copytree(PACKAGE, place / "package")  # once: somebody may be working on it
    waiting = iter(enumerate(cases))
    running: dict[int, tuple[Case, Path]] = {}
    while True:
        while len(running) < _AT_ONCE and (following := next(waiting, None)) is not None:
            number, case = following
            home = place / str(number)
            shutil.copytree(package, home / "beeline")
            if case.mutation is not None:
                case.mutation.apply(home / "beeline")
            pid = os.fork()
            if not pid:
                _prove(case.owners, home)
            running[pid] = case, home
        if not running:
            return
        pid, status, usage = os.wait4(-1, 0)
        case, home = running.pop(pid)
        code = os.waitstatus_to_exitcode(status)
        failed = (home / "failed").read_text() if (home / "failed").exists() else ""
        if not failed and code > 0:
            raise RuntimeError(f"{case}: pytest ended with {code}\n{(home / 'output').read_text()}")
        yield Verdict(case, failed, usage.ru_utime + usage.ru_stime, code >= 0)
        shutil.rmtree(home)


class _FirstFailure:
    """Writes down which proof failed.

    Args:
        path: where.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test, or what it needs, failed."""
        if report.failed:
            self.path.write_text(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file of tests could not even be read."""
        if report.failed:
            self.path.write_text(report.nodeid)


def _prove(owners: Sequence[str], home: Path) -> NoReturn:
    """Become the process that runs proofs against a copy of the package."""
    code = 70
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (LIMIT, LIMIT))
        signal.alarm(_PATIENCE)
        with (home / "output").open("w") as output:
            for number in (1, 2):
                os.dup2(output.fileno(), number)
        os.environ["PYTHONPATH"] = str(home)  # for processes that tests start
        sys.path.insert(0, str(home))
        import beeline

        assert Path(beeline.__file__).parent == home / "beeline", beeline.__file__
        words = ["-x", "-p", "no:xdist", "-p", "no:cacheprovider", *owners]
        code = pytest.main(words, plugins=[_FirstFailure(home / "failed")])
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main(words: Sequence[str]) -> int:
    """Try the mutations of files that contain one of the words, all when there are none."""
    begin = time.monotonic()
    mutations = [each for each in MUTATIONS if not words or any(word in each.file for word in words)]
    stale = [each for each in mutations if each.is_stale()]
    cases = [Case(owners) for owners in dict.fromkeys(each.owners for each in mutations)]
    cases += [Case(each.owners, each) for each in mutations if each not in stale]
    for each in stale:
        print(f"STALE             {each}")
    os.chdir(ROOT)
    for name in _LOADED:
        import_module(name)
    verdicts = []
    with tempfile.TemporaryDirectory() as place:
        for verdict in judge(cases, Path(place)):
            verdicts.append(verdict)
            print(verdict, flush=True)
    wrong = [str(verdict) for verdict in verdicts if verdict.word.isupper()]
    killed = sum(verdict.word == "killed" for verdict in verdicts)
    print(f"{killed} of {len(mutations)} mutations killed, {len(stale)} stale, in {time.monotonic() - begin:.0f} s")
    if wrong:
        print("\n".join(["not as it should be:", *wrong]))
    return 1 if wrong or stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
