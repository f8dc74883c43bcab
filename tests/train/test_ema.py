"""Tracks and their snapshots: what is rebuilt is what a direct average would have been, or is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from beeline.cli.train import train
from beeline.core.errors import UserError
from beeline.train import loop
from beeline.train.config import TrainConfig
from beeline.train.ema import Tracks
from beeline.train.folder import RunFolder
from beeline.train.profiles import TRACK_WIDTHS, combine, exponent, is_kept
from beeline.train.snapshots import Snapshots
from tests.conftest import FAST
from tests.train.helpers import fingerprint, flags, make_trainer
from tests.train.helpers import finish as run_command

WIDTHS = (0.05, 0.06, 0.08, 0.10, 0.12, 0.15, 0.20)


def record(folder: Path, steps: int, plan: int, skipped: frozenset[int] = frozenset()) -> tuple[Tracks, Tensor]:
    """Averages of every width of a sequence of random weights, and snapshots of the two tracks.

    Args:
        folder: of the snapshots.
        steps: that are made.
        plan: steps that the run was to have.
        skipped: steps that make no update.
    """
    sequence = torch.randn(steps, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weight, snapshots = torch.zeros(50, dtype=torch.float64), Snapshots(folder)
    tracks, direct = Tracks([("w", weight)]), Tracks([("w", weight)], WIDTHS)
    for step in range(steps):
        if step not in skipped:
            weight.copy_(sequence[step])
            tracks.update(step)
            direct.update(step)
        if is_kept(step + 1, plan, 16):
            snapshots.save(step + 1, tracks.tensors())
    return direct, sequence


def test_each_track_has_exactly_its_profile() -> None:
    """The weights of step i are the i-th unit vector, so that the average is its own profile."""
    weight = torch.full((40,), 7.0, dtype=torch.float64)
    tracks = Tracks([("w", weight)])
    for step in range(40):
        weight.zero_()
        weight[step] = 1.0
        tracks.update(step)
    for width in TRACK_WIDTHS:
        edges = (np.arange(41) / 40) ** (exponent(width) + 1)
        np.testing.assert_allclose(tracks.averages[width]["w"].numpy(), np.diff(edges), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("steps", [1, 7, 16, 33, 200])
def test_what_is_rebuilt_is_the_direct_average_within_the_bound(tmp_path: Path, steps: int) -> None:
    """Cauchy-Schwarz over the steps: |difference| <= error |profile| |weights over time|, beside half precision."""
    direct, sequence = record(tmp_path, steps, steps)
    history = Snapshots(tmp_path).history(steps)
    for width in WIDTHS:
        profile = np.diff((np.arange(steps + 1) / steps) ** (exponent(width) + 1))
        bound = history.check(width) * np.linalg.norm(profile) * sequence.norm(dim=0) + 5e-3
        rebuilt = history.average(width, {"w": torch.zeros(50, dtype=torch.float64)})["w"]
        assert bool(((rebuilt - direct.averages[width]["w"]).abs() <= bound).all()), width
        if steps <= 20 or width in TRACK_WIDTHS:
            torch.testing.assert_close(rebuilt, direct.averages[width]["w"], rtol=0, atol=2e-3)


def test_a_wrong_width_would_be_noticed(tmp_path: Path) -> None:
    direct, _ = record(tmp_path, 200, 200)
    rebuilt = Snapshots(tmp_path).history(200).average(0.12, {"w": torch.zeros(50, dtype=torch.float64)})["w"]
    near, far = ((rebuilt - direct.averages[width]["w"]).norm() for width in (0.12, 0.15))
    assert far > 10 * near


def test_a_few_skipped_steps_change_almost_nothing(tmp_path: Path) -> None:
    """A skipped step has d = 1, which moves the profiles that are kept and the one that is wanted alike."""
    direct, _ = record(tmp_path, 400, 400, skipped=frozenset(range(0, 400, 57)))
    history = Snapshots(tmp_path).history(400)
    for width in WIDTHS:
        wanted = direct.averages[width]["w"]
        rebuilt = history.average(width, {"w": torch.zeros(50, dtype=torch.float64)})["w"]
        assert (rebuilt - wanted).norm() < 0.03 * wanted.norm(), width


def test_the_tensors_that_no_track_follows_stay_as_they_are(tmp_path: Path) -> None:
    record(tmp_path, 20, 20)
    base = {"w": torch.zeros(50), "table": torch.arange(3.0)}
    rebuilt = Snapshots(tmp_path).history(20).average(0.07, base)
    assert rebuilt.keys() == base.keys()
    assert torch.equal(rebuilt["table"], base["table"])
    assert rebuilt["w"].dtype == torch.float32


def test_widths_out_of_reach_are_refused_with_those_that_are_possible(tmp_path: Path) -> None:
    record(tmp_path, 100, 400)  # stopped early: four of sixteen snapshots
    history = Snapshots(tmp_path).history(100)
    with pytest.raises(
        UserError, match=r"0\.2: would be 2\d\.\d % off .*at hand allow 0\.05 to 0\.06\d, 0\.0\d+ to 0\.11\d$"
    ):
        history.average(0.2, {})
    assert history.check(0.11) <= 0.03
    for width in (0.04, 0.21, float("nan"), -1.0):
        with pytest.raises(UserError, match=r"must lie from 0\.05 to 0\.2"):
            history.check(width)


def test_a_longer_run_keeps_what_it_had(tmp_path: Path) -> None:
    """Extended on resuming: the snapshots of the first length and those of the second together."""
    kept = [step for step in range(1, 401) if is_kept(step, 400, 16)]
    for longer in (410, 600, 1000, 4000):
        more = [step for step in range(401, longer + 1) if is_kept(step, longer, 16)]
        both = [(width, step) for step in kept + more for width in TRACK_WIDTHS]
        assert combine(WIDTHS, longer, both).errors.max() < 0.03


def test_a_damaged_snapshot_is_named_and_can_be_left_out(tmp_path: Path) -> None:
    record(tmp_path, 100, 100)
    snapshots = Snapshots(tmp_path)
    victim = snapshots.file(snapshots.steps()[3])
    victim.write_bytes(victim.read_bytes()[:-9])
    with pytest.raises(UserError, match=f"{victim.name}: not a complete .*; delete it to rebuild from the others"):
        snapshots.history(100)
    victim.unlink()
    history = snapshots.history(100)
    assert history.missing == (25,)
    assert history.check(0.12) <= 0.03
    for step in snapshots.steps()[:-1]:
        snapshots.file(step).unlink()
    with pytest.raises(UserError, match=r"at hand allow 0\.05.*; the snapshots of steps 7, 13, .* are gone"):
        snapshots.history(100).check(0.2)
    snapshots.drop_beyond(0)
    with pytest.raises(UserError, match=r"no snapshot until step 100.*train with --train.ema_snapshots 16"):
        snapshots.history(100)


def test_snapshots_of_another_model_are_refused(tmp_path: Path) -> None:
    record(tmp_path, 20, 20)
    history = Snapshots(tmp_path).history(20)
    with pytest.raises(UserError, match="tensor w is not of this model"):
        history.average(0.07, {"v": torch.zeros(50)})
    with pytest.raises(UserError, match=r"tensor 0.05/w is \(50,\), this model has \(3,\)"):
        history.average(0.07, {"w": torch.zeros(3)})
    Snapshots(tmp_path).save(20, {"0.05/w": torch.zeros(50)})
    with pytest.raises(UserError, match=r"step-000020.*tensor 0.1/w is missing; delete the file"):
        history.average(0.07, {"w": torch.zeros(50)})


def test_numbers_too_large_for_half_precision_are_kept_in_full(tmp_path: Path) -> None:
    Snapshots(tmp_path).save(1, {f"{width:g}/w": torch.full((2,), 1e6) for width in TRACK_WIDTHS})
    rebuilt = Snapshots(tmp_path).history(1).average(0.08, {"w": torch.zeros(2)})
    torch.testing.assert_close(rebuilt["w"], torch.full((2,), 1e6))


def test_too_few_snapshots_are_refused() -> None:
    for count in (1, 15, -1):
        with pytest.raises(UserError, match="ema_snapshots"):
            TrainConfig(ema_snapshots=count)
    assert make_trainer(train__ema_snapshots=0).tracks is None
    assert "tracks" not in make_trainer(train__ema_snapshots=0).tensors()


def snapshot_bytes(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((run / "snapshots").iterdir())}


def options(**more: Any) -> dict[str, Any]:
    return {**FAST, "train.steps": 24, "train.held_out_every": 0, **more}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train("digits", tmp_path_factory.mktemp("tracks") / "whole", options=options())


def test_a_kill_between_snapshot_and_checkpoint_loses_nothing(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The snapshot of step 12 is there, its checkpoint is not: from step 8 on, all is written again, bit for bit."""
    real = loop.save

    def killed(trainer: Any, folder: RunFolder) -> None:
        if trainer.step == 12:
            raise SystemExit(137)
        real(trainer, folder)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save", killed)
        with pytest.raises(SystemExit):
            train("digits", tmp_path / "run", options=options())
    run = RunFolder(tmp_path / "run")
    assert run.steps() == [4, 8]
    assert run.snapshots.steps()[-1] == 12
    run.snapshots.file(11).write_bytes(b"of another future")
    train(None, run.path, resume=True)
    assert snapshot_bytes(run.path) == snapshot_bytes(whole)
    assert fingerprint(run.path) == fingerprint(whole)
    assert "tracks.safetensors" in fingerprint(run.path)


def test_tracks_leave_the_run_as_it_would_be_without_them(whole: Path, tmp_path: Path) -> None:
    without = train("digits", tmp_path / "without", options=options(**{"train.ema_snapshots": 0}))
    assert not (without / "snapshots").exists()
    one, other = fingerprint(whole), fingerprint(without)
    assert {name for name in one if one[name] != other.get(name)} == {"tracks.safetensors", "model.json"}


def test_snapshots_beyond_the_step_gone_on_from_are_dropped(whole: Path, tmp_path: Path) -> None:
    """Their weights may never come again: a longer run decays its learning rate later."""
    run = RunFolder(tmp_path / "run")
    shutil.copytree(whole, run.path)
    shutil.rmtree(run.checkpoint(24))
    trainer = make_trainer(train__steps=30)
    loop.restore_latest(trainer, run)
    assert trainer.step == 20
    assert run.snapshots.steps()[-1] == 20


def test_a_run_begun_without_tracks_says_how_to_go_on(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    for path in (*(out / "checkpoints").rglob("tracks.safetensors"), *(out / "snapshots").iterdir()):
        path.unlink()
    words = ["python", "-m", "beeline", "train", "--out", str(out), "--resume", "--train.steps", "28"]
    refused = run_command(words)
    assert refused.returncode == 2
    assert "holds no averages for train.ema_snapshots" in refused.stderr
    assert "go on with --train.ema_snapshots 0" in refused.stderr
    assert run_command([*words, *flags({"train.ema_snapshots": 0})]).returncode == 0


def test_a_snapshot_that_cannot_be_trusted_is_not_written(tmp_path: Path) -> None:
    trainer, folder = make_trainer(train__device="cpu", train__steps=2), RunFolder(tmp_path / "run")
    trainer._bad_step.fill_(0)
    trainer.step = 1
    with pytest.raises(Exception, match="the gradient is not finite"):
        loop.keep_snapshot(trainer, folder)
    assert folder.snapshots.steps() == []
