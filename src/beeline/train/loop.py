"""The run: steps, log, checkpoints, signals. Whatever stops it, what was saved is whole and can be resumed."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from beeline.core.errors import UserError
from beeline.core.protocols import Probe
from beeline.core.reporting import Reporter
from beeline.train.board import board
from beeline.train.config import chosen
from beeline.train.folder import RunFolder
from beeline.train.profiles import is_kept
from beeline.train.trainer import Trainer


@dataclass
class StopRequest:
    """Set by SIGINT or SIGTERM: finish the step, save, leave."""

    signal_name: str | None = None


@contextmanager
def stop_on_signals(reporter: Reporter) -> Iterator[StopRequest]:
    """Turn SIGINT and SIGTERM into a request; a second SIGINT stops at once."""
    request = StopRequest()

    def handle(number: int, frame: FrameType | None) -> None:
        if request.signal_name is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        request.signal_name = signal.Signals(number).name
        reporter.message(f"{request.signal_name}: finishing this step and saving")

    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def restore_latest(trainer: Trainer, folder: RunFolder) -> None:
    """Continue from the newest checkpoint; from the beginning where there is none.

    Raises:
        UserError: the checkpoint is damaged, or holds no tracks.
    """
    steps = folder.steps()
    if steps:
        groups = list(trainer.tensors())
        if "tracks" in groups and not any(map(folder.has_tracks, steps)):
            raise UserError(
                f"{folder.checkpoint(steps[-1])}: holds no averages for train.ema_snapshots, which cannot begin now; "
                "go on with --train.ema_snapshots 0"
            )
        trainer.restore(steps[-1], folder.load_checkpoint(steps[-1], groups))
    folder.truncate_log(trainer.step)
    folder.snapshots.drop_beyond(trainer.step)


def save(trainer: Trainer, folder: RunFolder) -> None:
    """Write a checkpoint and the model as it stands."""
    trainer.check_finite()
    folder.sync_log()
    folder.save_checkpoint(trainer.step, trainer.tensors(), trainer.config.keep_checkpoints, trainer.is_partial)
    save_model(trainer, folder)


def save_model(trainer: Trainer, folder: RunFolder) -> None:
    """Write the model as it stands, and its low-rank parts by themselves where it has any."""
    adapter = trainer.adapter()
    if adapter is not None:
        folder.save_adapter(adapter, trainer.step)
    folder.save_model(trainer.averaged_weights(), trainer.step)


def keep_snapshot(trainer: Trainer, folder: RunFolder) -> None:
    """Keep the tracks where this step is due: a function of the step and the run's length alone.

    It comes before the step's checkpoint, so that going on from there never misses one.
    """
    if trainer.tracks is not None and is_kept(trainer.step, trainer.steps, trainer.config.ema_snapshots):
        trainer.check_finite()
        folder.snapshots.save(trainer.step, trainer.tracks.tensors())


def run(trainer: Trainer, folder: RunFolder, reporter: Reporter, probes: Sequence[Probe] = ()) -> bool:
    """Train to the end, or until a signal asks to stop.

    Args:
        trainer: fresh or restored.
        folder: where the run is kept; locked by the caller.
        reporter: shows progress.
        probes: measured beside training with the averaged weights; their records join the lines of the log.

    Returns:
        whether the run is complete and nothing asked to stop, so that what follows training may follow.

    Raises:
        RunError: the gradient became infinite or NaN.
    """
    config = trainer.config
    checkpoint_every = chosen("checkpoint_every", config.checkpoint_every)
    lap, lap_step, waited = time.monotonic(), trainer.step, trainer.feed.waited
    best = lowest_held_out_loss(folder)
    with (
        stop_on_signals(reporter) as request,
        board(folder, config.tensorboard, trainer.step) as draw,
        reading(trainer),
    ):
        while trainer.step < trainer.steps and request.signal_name is None:
            trainer.train_step()
            before = time.monotonic()
            keep_snapshot(trainer, folder)
            lap += time.monotonic() - before  # the rate in the log is that of the steps
            record = None
            if trainer.step % config.log_every == 0 or trainer.step == trainer.steps:
                seconds = max(time.monotonic() - lap, 1e-9)
                rate = (trainer.step - lap_step) * trainer.batch_size / seconds
                record = log_record(trainer, rate, (trainer.feed.waited - waited) / seconds)
                record |= measure(trainer, probes)
                if record.get("held_out_loss", math.inf) < best:
                    best = record["held_out_loss"]
                    folder.save_best(trainer.averaged_weights(), trainer.step)
                folder.append_log(record)
                draw(record)
                lap, lap_step, waited = time.monotonic(), trainer.step, trainer.feed.waited
            reporter.step(trainer.step, trainer.steps, record)
            if trainer.step % checkpoint_every == 0 and trainer.step < trainer.steps:
                before = time.monotonic()
                save(trainer, folder)
                lap += time.monotonic() - before
        if trainer.step in folder.steps():  # a kill may have come right after a checkpoint
            folder.drop_checkpoints(config.keep_checkpoints)
            save_model(trainer, folder)
        else:
            save(trainer, folder)
    return trainer.step >= trainer.steps and request.signal_name is None


def lowest_held_out_loss(folder: RunFolder) -> float:
    """The lowest in the log, infinity where there is none."""
    losses = (line.get("held_out_loss", math.inf) for line in folder.read_log())
    return min((loss for loss in losses if loss < math.inf), default=math.inf)  # NaN is no loss


@contextmanager
def reading(trainer: Trainer) -> Iterator[None]:
    """Let go of processes that read, however the run ends."""
    try:
        yield
    finally:
        trainer.feed.close()


def log_record(trainer: Trainer, samples_per_second: float, data_wait: float = 0.0) -> dict[str, Any]:
    """A line of the log: what was measured since the last one.

    Args:
        trainer: of the run.
        samples_per_second: since the last line.
        data_wait: share of the time since then in which training waited for data.
    """
    trainer.check_finite()
    samples = trainer.step * trainer.batch_size
    return {
        "step": trainer.step,
        "samples": samples,
        "epoch": samples / trainer.feed.size,
        **trainer.take_measurements(),
        "learning_rate": trainer.learning_rate(trainer.step - 1),
        "ema_decay": trainer.ema.decay_at(trainer.step - 1),
        "samples_per_second": samples_per_second,
        "data_wait": data_wait,
    }


def measure(trainer: Trainer, probes: Sequence[Probe]) -> dict[str, Any]:
    """Records of the probes that are due: a function of the step alone, so that resuming changes nothing."""
    step, last_line = trainer.step, (trainer.step - 1) // trainer.config.log_every * trainer.config.log_every
    due = [probe for probe in probes if step == trainer.steps or step // probe.every > last_line // probe.every]
    record: dict[str, Any] = {}
    if due:
        with trainer.averaged():
            for probe in due:
                record |= probe(step, trainer.network)
    return record
