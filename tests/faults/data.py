"""Faults around a run: its data, its clock, other processes."""

from __future__ import annotations

import re
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tests.faults.harness import DIGITS, Bench, Job, Row, assert_one_line, shown
from tests.faults.injection import Plan
from tests.train.helpers import fingerprint

_MODALITY = '''
    """Curves that lie in files, each read when it is needed."""

    from dataclasses import dataclass
    from pathlib import Path

    import numpy as np

    from beeline import Example, GridTokenizer, Standardise, curves
    from beeline.core.data import Deferred


    class Curves(Deferred):
        def __init__(self, paths):
            self.paths = paths

        def __len__(self):
            return len(self.paths)

        def read(self, index):
            return Example(np.load(self.paths[index]))

        def condition(self, index):
            return {}

        def name(self, index):
            return self.paths[index].name

        def group(self, index):
            return None


    @dataclass(frozen=True)
    class Stored:
        path: str = "."
        patch: int = 4

        def dataset(self, split):
            paths = sorted(Path(self.path).glob("*.npy"))
            return Curves(paths[:-8] if split == "train" else paths[-8:])

        def normaliser(self):
            return Standardise()

        def tokenizer(self):
            return GridTokenizer((self.patch,))

        def conditions(self):
            return []

        def metrics(self):
            return []

        def preview(self, samples):
            return curves([sample.array[:, 0] for sample in samples])


    MODALITY = Stored
    '''


@dataclass(frozen=True)
class Stored:
    """Data in files, which training reads again and again.

    Args:
        job: trains on them.
        folder: holds them.
        ending: of their names.
    """

    job: Job
    folder: Path
    ending: str

    def one(self) -> Path:
        """A file of the training split."""
        return min(self.folder.rglob(f"*{self.ending}"))


def stored_curves(bench: Bench) -> Stored:
    """A user's own kind of data, a file an example."""
    folder, modality = bench.place / "data" / "curves", bench.place / "data" / "stored.py"
    if not folder.exists():
        folder.mkdir(parents=True)
        modality.write_text(textwrap.dedent(_MODALITY).lstrip())
        chance = np.random.default_rng(0)
        for index in range(40):
            np.save(folder / f"curve-{index:03}.npy", chance.normal(size=(16, 1)).cumsum(axis=0))
    options = {"data.path": str(folder), "train.in_memory": "false", "train.workers": 0}
    return Stored(Job(str(modality), options), folder, ".npy")


def stored_pictures(bench: Bench) -> Stored:
    """A folder of PNG files, in a folder for each class."""
    folder = bench.place / "data" / "pictures"
    if not folder.exists():
        chance = np.random.default_rng(0)
        for index in range(48):
            path = folder / f"kind {index % 2}" / f"{index:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(chance.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
    return Stored(Job(str(folder), {"train.in_memory": "false", "train.workers": 0}), folder, ".png")


def vanished_data(bench: Bench, stored: Callable[[Bench], Stored] = stored_curves) -> Row:
    """All data or one file of them are not there when a run goes on; or all go in the middle of training."""
    before, lines, data = bench.counts(), list[str](), stored(bench)
    for what in ("all", "one", "all while training"):
        out = bench.fresh()
        victim = data.one() if what == "one" else data.folder
        away = bench.place / "data" / f"away-{what}"
        if what == "all while training":
            child = bench.start(out, Plan(slow_path=data.ending, delay=0.004), data.job)
            while child.poll() is None and not (out / "log.jsonl").exists():
                time.sleep(0.005)
            victim.rename(away)
            ended = child.wait()
            assert_one_line(ended)
            line = ended.errors
            bench.strikes += 1
        else:
            bench.strike(out, Plan("SIGKILL", 1, "step-000008"), data.job)
            victim.rename(away)
            line = bench.refused(out, data.job)
        bench.check_readable(out)
        away.rename(victim)
        lines.append(re.sub(r"[\w-]*\d{3}\.", "FILE.", shown(line, out).replace(str(data.folder.parent), "DATA")))
        bench.resume(out, data.job)
    seen = ", ".join(f"`{line}`" for line in dict.fromkeys(lines))
    return bench.row(
        f"{data.ending} files vanish before a start or while training, and come back", f"exit 2: {seen}", before
    )


def slow_data(bench: Bench, stored: Callable[[Bench], Stored] = stored_curves) -> Row:
    """Every read of a data file takes 3 ms, and SIGKILL comes meanwhile."""
    before, data = bench.counts(), stored(bench)
    out = bench.fresh()
    bench.strike(out, Plan("SIGKILL", 1, "step-000008", slow_path=data.ending, delay=0.003), data.job)
    bench.resume(out, data.job)
    return bench.row(f"slow data (3 ms a {data.ending} file), and a SIGKILL", "killed", before)


def kills_beside_readers(bench: Bench) -> Row:
    """SIGKILL while processes of their own read ahead: what they leave behind locks nobody out."""
    before, job = bench.counts(), stored_pictures(bench).job
    readers = Job(job.target, {**job.options, "train.workers": 2})
    out = bench.fresh()
    bench.strike(out, Plan("SIGKILL", 1, "step-000008"), readers)
    bench.strike(out, Plan("SIGKILL", 30, "step-000008"), readers)
    bench.restarts += 1
    bench.resume(out, readers)
    return bench.row("SIGKILL while processes read ahead; started again at once", "killed", before)


def not_a_number(bench: Bench) -> Row:
    """A gradient that is not a number stops the run, which loses nothing."""
    before, out = bench.counts(), bench.fresh()
    line = shown(bench.strike(out, Plan(nan=7)).errors, out)
    assert line.startswith("step 7: the gradient is not finite"), line
    bench.resume(out)
    return bench.row("a NaN in a gradient (`train.on_nan stop`)", f"exit 1: `{line}`", before)


def skipped_not_a_number(bench: Bench, reading: bool = False) -> Row:
    """A gradient that is not a number is passed over: the same as if that step had been skipped from the first."""
    before, out = bench.counts(), bench.fresh()
    of = stored_pictures(bench).job if reading else DIGITS
    options = {**of.options, **({"train.accumulation": 4, "train.workers": 1} if reading else {})}
    asked = bench.undisturbed(Job(of.target, {**options, "train.skip_steps": "[7]"}))
    job = Job(of.target, {**options, "train.on_nan": "skip"})
    bench.strike(out, Plan("SIGKILL", 20, "step-000008", nan=7), job)
    ended = bench.start(out, Plan(nan=7), job).wait()
    bench.restarts += 1
    assert (ended.code, ended.errors) == (0, ""), ended
    one, other = fingerprint(out), fingerprint(asked)
    del one["model.json"], other["model.json"]  # it tells the options
    assert one == other
    assert [line["skipped"] for line in one["log"] if "skipped" in line] == [1]
    how = "`--resume`: bit-identical to `train.skip_steps 7`"
    where = "`train.on_nan skip`" + (", micro-batches read ahead from .png files" if reading else "")
    return bench.row(f"a NaN in a gradient ({where}), and a SIGKILL", "counted in the log", before, how)


def two_processes(bench: Bench) -> Row:
    """A second one on the same run folder, whenever it comes."""
    before, lines = bench.counts(), []
    for wait in (0.0, 0.0, 0.0, 0.3, 0.6):
        out = bench.fresh()
        first = bench.start(out, Plan(delay=0.02))
        time.sleep(wait)
        second = bench.start(out)
        ends = [first.wait(), second.wait()]
        for ended in ends:
            if ended.code:
                assert_one_line(ended)
                lines.append(shown(ended.errors, out))
        bench.check_readable(out)
        bench.strikes += 1
        bench.resume(out)
    seen = ", ".join(f"`{line}`" for line in dict.fromkeys(lines)) or "both go through"
    return bench.row("two processes on one run folder, together or one after the other", f"exit 2: {seen}", before)


def clock_set_back(bench: Bench) -> Row:
    """The clock goes backwards, an hour at each reading."""
    before, out = bench.counts(), bench.half_way()
    bench.strike(out, Plan("SIGKILL", 40, "log.jsonl", clock=3600.0))
    bench.resume(out)
    return bench.row("a clock that goes backwards, and a SIGKILL", "killed", before)
