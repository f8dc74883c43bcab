"""``python -m tests.faults``: inject every fault, and write the table of docs/faults.md from what happened."""

from __future__ import annotations

import platform
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import torch

from tests.faults import data, disks, kills
from tests.faults.harness import STEPS, Bench, Row
from tests.faults.server import ROOT, Server

FAULTS: list[Callable[[Bench], Row]] = [
    kills.kills_at_random_moments,
    partial(kills.kills_in_creation, stride=3),
    partial(kills.kills_in_a_checkpoint, stride=8),
    partial(kills.kills_in_creation, stride=2, strike="power cut"),
    partial(kills.kills_in_a_checkpoint, stride=3, strike="power cut"),
    kills.kills_in_finishing,
    kills.kills_of_restarts,
    kills.hang_up,
    partial(kills.requests_to_stop, name="SIGTERM"),
    partial(kills.requests_to_stop, name="SIGINT"),
    kills.impatience,
    disks.full_disk,
    disks.no_room_in_a_checkpoint,
    disks.no_room_elsewhere,
    disks.no_room_beside,
    disks.failing_disk,
    disks.read_only_disk,
    disks.slow_disk,
    disks.truncated_checkpoint,
    disks.missing_from_checkpoint,
    disks.flipped_bits,
    disks.damaged_model,
    data.vanished_data,
    partial(data.vanished_data, stored=data.stored_pictures),
    data.slow_data,
    partial(data.slow_data, stored=data.stored_pictures),
    data.kills_beside_readers,
    data.not_a_number,
    data.skipped_not_a_number,
    partial(data.skipped_not_a_number, reading=True),
    data.two_processes,
    data.clock_set_back,
]
_AT_ONCE = 2  # processes, which wait for the disk half of the time
DOCUMENT = ROOT / "docs" / "faults.md"
_PAGE = f"""# What a run survives

Written by `python -m tests.faults` in {{minutes}} minutes ({{machine}}); not by hand. It injects every fault below
into the real command line, in real processes: a run of {STEPS} steps on digits (DiT-Nano, fp32, one thread; where data
files are the matter, on small curves and pictures) with a checkpoint every fourth. {{faults}} faults, {{restarts}}
restarts.

After each fault the run folder and all its checkpoints open (`beeline inspect`), or say in one line that nothing is
saved yet; where there was a best model, there is one. Where the process could still speak, it said one line on standard
error and ended with code 1 or 2, without a traceback. After the next start nothing temporary was left beside or in the
run folder. *Bit-identical* means: final weights, averages, optimiser, log (but for times and rates), sample pictures
and the list of files are those of a run that nothing disturbed.

{{table}}

A power cut is simulated: before the kill, every byte and every name that was not synced is taken back. RUN is the run
folder, PLACE the folder above it, DATA that of the data.

What is not noticed: a changed digit in `log.jsonl`, or in a `model.json` that nobody resumes from (resuming writes it
again); a data file exchanged for another under the same name. All files of tensors carry the sha256 of their contents
and are checked when they are read.
"""


def inject_all(place: Path, say: Callable[[str], None] = lambda line: None) -> list[Row]:
    """Every fault, two at a time.

    Args:
        place: an empty folder.
        say: told of each row.
    """
    rows: dict[int, Row] = {}
    waiting = iter(enumerate(FAULTS))

    def inject(place: Path) -> None:
        with Server(place / "printed") as server:
            bench = Bench(server, place)
            while (following := next(waiting, None)) is not None:
                number, fault = following
                begin = time.monotonic()
                row = rows[number] = fault(bench)
                say(f"{time.monotonic() - begin:6.1f} s  {row.restarts:3} restarts  {row.fault}")

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for done in [pool.submit(inject, place / str(number)) for number in range(_AT_ONCE)]:
            done.result()
    return [row for _, row in sorted(rows.items())]


def document(rows: list[Row], seconds: float) -> str:
    """The page."""
    table = ["| fault | times | restarts | what one sees | afterwards |", "| --- | --- | --- | --- | --- |"]
    table += [f"| {row.fault} | {row.strikes} | {row.restarts} | {row.seen} | {row.afterwards} |" for row in rows]
    machine = f"{_processor()}, {platform.system()}, Python {platform.python_version()}, torch {torch.__version__}"
    faults, restarts = sum(row.strikes for row in rows), sum(row.restarts for row in rows)
    return _PAGE.format(
        minutes=f"{seconds / 60:.0f}", machine=machine, faults=faults, restarts=restarts, table="\n".join(table)
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())


def main() -> None:
    """Inject, and write the page."""
    torch.set_num_threads(1)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        rows = inject_all(Path(place), lambda line: print(line, file=sys.stderr, flush=True))
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text(document(rows, time.monotonic() - begin))
    print(DOCUMENT)


if __name__ == "__main__":
    main()
