"""Faults that end the process: kills, power cuts, signals."""

from __future__ import annotations

import random
import signal
import time

from tests.faults.harness import STEPS, Bench, Row, assert_one_line
from tests.faults.injection import Plan

_MODEL_SAVED = r"^fsync .*/run$"


def kills_at_random_moments(bench: Bench, runs: int = 6, kills: int = 5) -> Row:
    """Several times in the life of each of several runs."""
    before, chance = bench.counts(), random.Random(0)
    for _ in range(runs):
        out = bench.fresh()
        for number in range(kills):
            child = bench.start(out)
            time.sleep(chance.uniform(0.0, 0.9))
            child.send(signal.SIGKILL)
            ended = child.wait()
            assert ended.code in (-9, 0), ended
            bench.check_readable(out)
            bench.strikes += 1
            bench.restarts += number > 0
        bench.resume(out)
    return bench.row("SIGKILL at random moments, five in the life of a run", "killed", before)


def kills_in_a_checkpoint(bench: Bench, stride: int = 1, strike: str = "SIGKILL") -> Row:
    """Before every file operation from two lines of the log to the model that follows the checkpoint."""
    before = bench.counts()
    count = len(bench.operations(bench.half_way(), "log.jsonl", r"^rename .*/run/model.safetensors")) + 2
    for number in range(1, count + 1, stride):
        out = bench.half_way()
        bench.strike(out, Plan(strike, number, "log.jsonl"))
        assert number < count or (out / "checkpoints" / "step-000012").is_dir(), "what was saved is lost"
        bench.resume(out)
    where = f"of the {count} file operations of log, checkpoint, rotation and model"
    return bench.row(f"{_NAMES[strike]} {_each(stride)} {where}", "killed", before)


def kills_in_creation(bench: Bench, stride: int = 1, strike: str = "SIGKILL") -> Row:
    """Before every file operation from the first to the first line of the log."""
    before = bench.counts()
    count = len(bench.operations(bench.fresh(), "", "^open .*/log.jsonl"))
    for number in range(1, count + 1, stride):
        out = bench.fresh()
        bench.strike(out, Plan(strike, number))
        bench.resume(out)
    return bench.row(
        f"{_NAMES[strike]} {_each(stride)} of the {count} file operations that begin a run", "killed", before
    )


def kills_in_finishing(bench: Bench, stride: int = 24) -> Row:
    """Before file operations that write samples and report."""
    before = bench.counts()
    count = len(bench.operations(bench.half_way(), "samples"))
    for index, number in enumerate([*range(1, count - 6, stride), *range(count - 6, count + 1)]):
        out = bench.half_way()
        bench.strike(out, Plan(("SIGKILL", "power cut")[index % 2], number, "samples"))
        bench.resume(out)
    where = f"of the {count} file operations of samples and report, and at each of the report's"
    return bench.row(f"SIGKILL and power cut by turns {_each(stride)} {where}", "killed", before)


def kills_of_restarts(bench: Bench) -> Row:
    """Killed while it clears up after the last kill, again and again."""
    before, out = bench.counts(), bench.half_way()
    for number in (4, 8, 1, 2, 3, 5, 20, 40):
        bench.strike(out, Plan("SIGKILL", number))
        bench.restarts += 1
    bench.resume(out)
    return bench.row("SIGKILL of a restart that clears up after a SIGKILL, eight in a row", "killed", before)


def hang_up(bench: Bench) -> Row:
    """The terminal goes."""
    before, out = bench.counts(), bench.half_way()
    bench.strike(out, Plan("SIGHUP", 20, "log.jsonl"))
    bench.resume(out)
    return bench.row("SIGHUP, as of a terminal that is closed", "ended by the signal", before)


def requests_to_stop(bench: Bench, name: str, stride: int = 47) -> Row:
    """SIGTERM or SIGINT at file operations from the first to the last."""
    before = bench.counts()
    count = len(bench.operations(bench.fresh()))
    codes = []
    for number in range(7, count, stride):
        out = bench.fresh()
        child = bench.start(out, Plan(name, number), words=["summary"])
        ended = child.wait()
        bench.strikes += 1
        codes.append(ended.code)
        said = [line for line in ended.errors.splitlines() if line.startswith("beeline: ")]
        if ended.code == 0:
            assert said == [], ended
            assert "--resume" in ended.output, ended
        else:
            assert (ended.code, said) == (1, ["beeline: interrupted"]), ended
        assert "Traceback" not in ended.errors, ended
        bench.check_readable(out)
        bench.resume(out)
    assert codes.count(0) > len(codes) / 2
    seen = f"exit 0: `stopped after step N of {STEPS}; saved; go on with --resume`"
    if 1 in codes:
        seen += f"; exit 1 before training ({codes.count(1)} times): `interrupted`"
    return bench.row(f"{name} at file operations from the first of a run to the last", seen, before)


def impatience(bench: Bench) -> Row:
    """Ctrl-C again while the run is saving for the first."""
    before = bench.counts()
    for number in (1, 12, 25, 45):
        out = bench.half_way()
        assert_one_line(bench.strike(out, Plan("SIGINT twice", number, "log.jsonl")))
        bench.resume(out)
    return bench.row("Ctrl-C twice in the middle of a checkpoint", "exit 1: `interrupted`", before)


_NAMES = {"SIGKILL": "SIGKILL", "power cut": "Power cut (a kill that also takes all that was not synced)"}


def _each(stride: int) -> str:
    return "at each" if stride == 1 else f"at one in {stride}"
