"""Whatever happens to a run, it ends as if nothing had: a few faults always, all of them among the slow tests."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import data, disks, kills
from tests.faults.__main__ import document, inject_all
from tests.faults.harness import Bench
from tests.faults.server import ROOT, Server
from tests.train.helpers import fingerprint, finish, train_command


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    place = tmp_path_factory.mktemp("faults")
    with Server(place / "printed") as server:
        yield Bench(server, place)


@pytest.mark.slow
def test_a_run_that_loses_power_in_a_checkpoint_goes_on_as_if_it_had_not(bench: Bench) -> None:
    assert kills.kills_in_a_checkpoint(bench, stride=60, strike="power cut").restarts >= 2


@pytest.mark.slow
def test_a_full_disk_is_told_in_one_line_and_costs_nothing(bench: Bench) -> None:
    assert disks.no_room_in_a_checkpoint(bench, stride=30).restarts >= 1


@pytest.mark.slow  # any changed bytes of any file are named in tests/data/test_checkpoints.py
def test_a_flipped_bit_is_named(bench: Bench) -> None:
    assert disks.flipped_bits(bench, each=1, files=["optimiser"]).restarts == 1


@pytest.mark.slow
def test_processes_that_read_ahead_lock_nobody_out_when_training_is_killed(bench: Bench) -> None:
    assert data.kills_beside_readers(bench).restarts == 2


@pytest.mark.slow
def test_nan_among_micro_batches_that_are_read_ahead_is_passed_over(bench: Bench) -> None:
    assert data.skipped_not_a_number(bench, reading=True).restarts == 1


_POWER_CUT = """
import os, sys
from pathlib import Path
from tests.faults.injection import Injection, Plan

home = Path(sys.argv[1])
Injection(Plan("power cut", int(sys.argv[2]), under="home", stash=str(home.parent / "stash"))).install()

def sync(folder):
    os.fsync(os.open(folder, os.O_RDONLY))

os.mkdir(home)                            # 1
sync(home.parent)
with open(home / "a", "w") as file:       # 2
    file.write("synced")                  # 3, 4
    os.fsync(file.fileno())               # 5
sync(home)                                # 6
with open(home / "a", "a") as file:       # 7
    file.write(" and not")                # 8, 9
with open(home / "b", "w") as file:       # 10
    file.write("renamed")                 # 11, 12
os.replace(home / "b", home / "a")        # 13
sync(home)                                # 14
os.mkdir(home / "c")                      # 15
"""


@pytest.mark.parametrize(
    ("operation", "left"),
    [(6, {}), (7, {"a": "synced"}), (13, {"a": "synced"}), (14, {"a": "synced"}), (15, {"a": ""})],
)
def test_what_was_not_synced_is_gone_after_a_power_cut(tmp_path: Path, operation: int, left: dict[str, str]) -> None:
    """The simulation itself: synced bytes and names stay, others go."""
    home = tmp_path / "home"
    words = [sys.executable, "-c", _POWER_CUT, str(home), str(operation)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (-signal.SIGKILL, "")
    assert {path.name: path.read_text() for path in home.iterdir()} == left


def test_the_page_tells_what_happened(bench: Bench) -> None:
    rows = [bench.row("a fault", "exit 2: `RUN: no`", (bench.strikes - 3, bench.restarts - 2))]
    page = document(rows, 60.0)
    assert "| a fault | 3 | 2 | exit 2: `RUN: no` | `--resume`: bit-identical |" in page
    assert "3 faults, 2 restarts" in page.replace("\n", " ")


def test_a_true_process_killed_at_a_random_moment_ends_as_if_nothing_had_been(tmp_path: Path, bench: Bench) -> None:
    """From the command line itself, which the server spares the other tests."""
    out, chance = tmp_path / "run", random.Random(0)
    words = train_command(out, "--resume", train__steps=16)
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    log = out / "log.jsonl"
    while process.poll() is None and not log.exists():
        time.sleep(0.005)
    time.sleep(chance.random() * 0.1)
    process.kill()
    process.wait()
    done = finish(words)
    assert done.returncode == 0, done.stderr
    assert fingerprint(out) == fingerprint(bench.undisturbed())
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == list(range(2, 17, 2))


@pytest.mark.slow
def test_every_fault(tmp_path: Path) -> None:
    rows = inject_all(tmp_path)
    assert sum(row.restarts for row in rows) >= 100
