"""Faults of the disk that a run is kept on: full, read-only, failing, slow, damaged."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from beeline.train.folder import RunFolder
from tests.faults.harness import Bench, Job, Row, assert_one_line, shown
from tests.faults.injection import Plan

_NEWEST = "step-000008"  # checkpoint of a run half-way


@contextmanager
def small_disk(bench: Bench, size: str) -> Iterator[Path | None]:
    """A disk of that size in memory; None where mounting is not allowed."""
    bench.cases += 1
    place = bench.place / f"disk-{bench.cases:04}"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        yield None
        return
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def full_disk(bench: Bench) -> Row:
    """A disk with room for a share of a checkpoint when a run goes on, and room again afterwards."""
    before, lines = bench.counts(), list[str]()
    newest = bench.half_way() / "checkpoints" / _NEWEST
    need = sum(path.stat().st_size for path in newest.iterdir())
    for share in (0.0, 0.003, 0.1, 0.3, 0.6, 0.9, 0.99):
        with small_disk(bench, "64m") as disk:
            if disk is None:
                return Row("full disk: a tmpfs of limited size", 0, 0, "not tried: mounting is not allowed here", "-")
            out, ballast = disk / "home" / "run", disk / "ballast"
            shutil.copytree(bench.half_way(), out)
            with open(ballast, "wb") as file:
                free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
                os.posix_fallocate(file.fileno(), 0, free - int(share * need))
            ended = bench.strike(out, Plan("full disk"))
            assert "No space left on device; make room, then go on with --resume" in ended.errors, ended
            lines.append(shown(ended.errors, out))
            ballast.unlink()
            bench.resume(out)
    what = "full disk: a tmpfs with room for 0 to 0.99 of a checkpoint, and room again later"
    return bench.row(what, _seen(lines), before)


def no_room_in_a_checkpoint(bench: Bench, stride: int = 4) -> Row:
    """ENOSPC from some operation of log, checkpoint or model on."""
    before, lines = bench.counts(), list[str]()
    listed = bench.operations(bench.half_way(), "log.jsonl", r"^rename .*/run/model.safetensors")
    needing_room = [number for number, line in enumerate(listed, 1) if line.split()[0] in ("open", "write")]
    for number in needing_room[::stride]:
        out = bench.half_way()
        ended = bench.strike(out, Plan("ENOSPC", number, "log.jsonl", onwards=True))
        assert "No space left on device; make room, then go on with --resume" in ended.errors, ended
        lines.append(shown(ended.errors, out))
        bench.resume(out)
    return bench.row("ENOSPC when log, checkpoint or model are written", _seen(lines), before)


def no_room_elsewhere(bench: Bench) -> Row:
    """ENOSPC when a run begins, and when samples and report are written."""
    before, lines = bench.counts(), list[str]()
    places = [("", 3, False), ("", 6, False), ("model.json", 1, False)]  # where, which operation, of a run half-way
    places += [("label-0", 1, True), ("label-5.json", 2, True), ("report.html", 1, True), ("report.html", 3, True)]
    for begin, number, half_way in places:
        out = bench.half_way() if half_way else bench.fresh()
        ended = bench.strike(out, Plan("ENOSPC", number, begin, onwards=True))
        assert "No space left on device" in ended.errors, ended
        lines.append(shown(ended.errors, out))
        bench.resume(out)
    return bench.row(
        "ENOSPC when the folder is made, and samples and report are written", _seen(lines, "exit 1 or 2"), before
    )


def no_room_beside(bench: Bench) -> Row:
    """ENOSPC in what is written beside training: TensorBoard's events, pictures of samples, the best model."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    before, lines = bench.counts(), list[str]()
    job = Job("digits", {"train.tensorboard": "true", "train.sample_every": 4})
    for begin, number in [("/tensorboard/", 2), ("/tensorboard/", 8), ("/steps/", 3), ("/best/", 3)]:
        out = bench.fresh()
        ended = bench.strike(out, Plan("ENOSPC", number, begin, onwards=True), job)
        lines.append(shown(re.sub(r"(tfevents)[^:]+", r"\1", ended.errors), out))
        bench.resume(out, job)
        events = EventAccumulator(str(out / "tensorboard")).Reload().Scalars("loss")
        assert [event.step for event in events] == [line["step"] for line in RunFolder(out).read_log()]
    return bench.row("ENOSPC in TensorBoard's events, pictures of samples, the best model", _seen(lines), before)


def failing_disk(bench: Bench) -> Row:
    """An fsync or a write that fails, a quota, a disk that is suddenly read-only."""
    before, lines = bench.counts(), list[str]()
    cases = [("EIO", "fsync", "log.jsonl"), ("EIO", "fsync", "optimiser"), ("EIO", "fsync", ".tmp-model.safetensors")]
    cases += [("EIO", "write", "ema"), ("EDQUOT", "write", "weights"), ("EIO", "rename", "step-000012")]
    cases += [("EROFS", "", "step-000012"), ("EROFS", "", "report"), ("EIO", "fsync", "/run")]
    for strike, only, begin in cases:
        out = bench.half_way()
        ended = bench.strike(out, Plan(strike, 1, begin, only, onwards=strike == "EROFS"))
        lines.append(shown(ended.errors, out))
        bench.resume(out)
    return bench.row("EIO, a quota, a disk that turns read-only, while saving", _seen(lines), before)


def read_only_disk(bench: Bench) -> Row:
    """A run on a disk that is mounted read-only opens, and cannot go on."""
    before = bench.counts()
    with small_disk(bench, "64m") as disk:
        if disk is None:
            return Row("a run on a read-only disk", 0, 0, "not tried: mounting is not allowed here", "-")
        out = disk / "home" / "run"
        shutil.copytree(bench.half_way(), out)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        line = bench.refused(out)
        bench.check_readable(out)
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        bench.resume(out)
    return bench.row("a run on a read-only disk", f"exit 2: `{shown(line, out)}`", before)


def slow_disk(bench: Bench) -> Row:
    """Each fsync takes long, and SIGTERM comes meanwhile."""
    before, out = bench.counts(), bench.fresh()
    child = bench.start(out, Plan("SIGTERM", 1, "step-000012", delay=0.05), words=["summary"])
    ended = child.wait()
    assert ended.code == 0, ended
    assert "saved; go on with --resume" in ended.output, ended
    bench.strikes += 1
    bench.resume(out)
    return bench.row("a slow disk (50 ms an fsync), with SIGTERM while it is waited for", "exit 0", before)


def truncated_checkpoint(bench: Bench) -> Row:
    """Each file of the newest checkpoint, cut short in several places; what the line says is then done."""
    before, lines = bench.counts(), list[str]()
    for name in _files(bench):
        for share in (0.0, 0.5, 1.0):
            out = bench.half_way()
            newest = out / "checkpoints" / _NEWEST
            path = newest / f"{name}.safetensors"
            os.truncate(path, min(int(path.stat().st_size * share), path.stat().st_size - 1))
            _named(bench, out, path, lines)
    what = "newest checkpoint cut short: each file, to nothing, half, all but a byte"
    return bench.row(what, *_mended(lines, before))


def missing_from_checkpoint(bench: Bench) -> Row:
    """A file of the newest checkpoint is gone."""
    before, lines = bench.counts(), list[str]()
    for name in _files(bench):
        out = bench.half_way()
        path = out / "checkpoints" / _NEWEST / f"{name}.safetensors"
        path.unlink()
        _named(bench, out, path, lines)
    return bench.row("a file missing from the newest checkpoint", *_mended(lines, before))


def flipped_bits(bench: Bench, each: int = 2, files: Sequence[str] = ()) -> Row:
    """One bit of a file of the newest checkpoint is another."""
    before, lines, chance = bench.counts(), list[str](), random.Random(0)
    for name in files or _files(bench):
        for _ in range(each):
            out = bench.half_way()
            path = out / "checkpoints" / _NEWEST / f"{name}.safetensors"
            _flip(path, chance)
            _named(bench, out, path, lines)
    return bench.row("one flipped bit in a file of the newest checkpoint", *_mended(lines, before))


def damaged_model(bench: Bench) -> Row:
    """The model of a finished run is cut short, or a bit of it flipped: opening names it, resuming writes it again."""
    before, lines, chance = bench.counts(), list[str](), random.Random(1)
    for number in range(4):
        out = bench.fresh()
        shutil.copytree(bench.undisturbed(), out)
        path = out / "model.safetensors"
        if number % 2:
            os.truncate(path, path.stat().st_size * number // 4)
        else:
            _flip(path, chance)
        done = bench.inspect(out)
        assert_one_line(done)
        assert f"beeline train --out {out} --resume writes it again" in done.errors, done
        lines.append(shown(done.errors, out))
        bench.strikes += 1
        bench.resume(out)
    seen = f"exit 2 of `beeline inspect`: `{lines[0]}`"
    return bench.row("model.safetensors of a finished run cut short, or a bit of it flipped", seen, before)


def _files(bench: Bench) -> list[str]:
    """Files of tensors of a checkpoint."""
    return sorted(path.stem for path in (bench.half_way() / "checkpoints" / _NEWEST).glob("*.safetensors"))


def _named(bench: Bench, out: Path, path: Path, lines: list[str]) -> None:
    """Resuming names the damaged file; the run goes on once the checkpoint is deleted, as the line says."""
    line = bench.refused(out)
    assert str(path) in line, line
    assert f"delete {path.parent} to go on from step 4" in line, line
    lines.append(shown(line, out))
    shutil.rmtree(path.parent)
    bench.resume(out)


def _flip(path: Path, chance: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def _mended(lines: list[str], before: tuple[int, int]) -> tuple[str, tuple[int, int], str]:
    return f"exit 2: `{lines[-1]}`", before, "once that is deleted, `--resume`: bit-identical"


def _seen(lines: list[str], codes: str = "exit 1") -> str:
    """What is said: each wording once, with the first file that it names."""
    kinds: dict[str, str] = {}
    for line in lines:
        kinds.setdefault(line.partition(": ")[2], line)
    files = len(dict.fromkeys(lines)) - len(kinds)
    more = f"; {files} more of other files" if files else ""
    return f"{codes}: " + ", ".join(f"`{line}`" for line in kinds.values()) + more
