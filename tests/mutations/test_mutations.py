"""The proofs notice when the mathematics is wrong; the list of what is made wrong is itself in order."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutations.__main__ import MUTATIONS, Case, judge
from tests.mutations.mutation import OWNERS, PACKAGE, ROOT, Mutation

ROOMS = ("samplers", "process", "objectives")
# Nothing here computes: names, options and refusals, which have tests of their own.
PLAIN = {"__init__.py", "build.py", "compatible.py", "config.py", "families.py", "presets.py"}


def test_every_mutation_is_of_text_that_is_there_once_and_is_python() -> None:
    assert len(set(MUTATIONS)) == len(MUTATIONS) >= 40
    for each in MUTATIONS:
        assert not each.is_stale(), each
        assert each.old != each.new, each
        compile((PACKAGE / each.file).read_text().replace(each.old, each.new), each.file, "exec")


def test_every_file_that_computes_is_made_wrong_and_has_owners() -> None:
    files = {f"{room}/{path.name}" for room in ROOMS for path in (PACKAGE / room).glob("*.py")}
    computing = {file for file in files if file.partition("/")[2] not in PLAIN}
    assert computing == set(OWNERS) == {each.file for each in MUTATIONS}
    for owner in {word for words in OWNERS.values() for word in words if word.startswith("tests/")}:
        assert (ROOT / owner).is_file(), owner


@pytest.mark.slow
def test_survivors_and_broken_proofs_are_told(tmp_path: Path) -> None:
    """Of what changes nothing, of a sign, and of a path without which the proofs cannot even begin."""
    owners = ("tests/process/test_build.py", "tests/process/test_paths.py")
    file, old = "process/linear.py", "-torch.ones_like(t)"
    changes = [Mutation(file, old, f"({old})"), Mutation(file, old, "torch.ones_like(t)"), Mutation(file, old, "1 / 0")]
    verdicts = list(judge([Case(owners, each) for each in changes], tmp_path))
    found = {verdict.case.mutation: verdict.word for verdict in verdicts}
    assert [found[each] for each in changes] == ["SURVIVED", "killed", "killed"]


@pytest.mark.slow
def test_the_proofs_kill_every_mutation() -> None:
    done = subprocess.run([sys.executable, "-m", "tests.mutations"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
