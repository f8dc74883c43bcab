"""The run: steps, log, checkpoints, signals. Whatever stops it, what was saved is whole and can be resumed."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, Protocol

from beeline.train.folder import RunFolder
from beeline.train.trainer import TENSOR_GROUPS, Trainer


class Reporter(Protocol):
    """Shows people how a run goes."""

    def message(self, text: str) -> None:
        """Something worth a line."""
        ...

    def step(self, step: int, steps: int, record: dict[str, Any] | None) -> None:
        """A step was done; ``record`` is the line that went to the log, if one did."""
        ...


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
        UserError: the checkpoint is damaged.
    """
    steps = folder.steps()
    if steps:
        tensors, state = folder.load_checkpoint(steps[-1], TENSOR_GROUPS)
        trainer.restore(state["step"], tensors)
    folder.truncate_log(trainer.step)


def save(trainer: Trainer, folder: RunFolder) -> None:
    """Write a checkpoint and the model as it stands."""
    trainer.check_finite()
    folder.sync_log()
    state = {"step": trainer.step, "samples": trainer.step * trainer.config.batch_size, "steps": trainer.steps}
    folder.save_checkpoint(trainer.step, trainer.tensors(), state, trainer.config.keep_checkpoints)
    folder.save_model(trainer.averaged_weights(), trainer.step)


def run(trainer: Trainer, folder: RunFolder, reporter: Reporter, clock: Callable[[], float] = time.monotonic) -> bool:
    """Train to the end, or until a signal asks to stop.

    Args:
        trainer: fresh or restored.
        folder: where the run is kept; locked by the caller.
        reporter: shows progress.
        clock: seconds.

    Returns:
        whether the run is complete.

    Raises:
        RunError: the gradient became infinite or NaN.
    """
    config, examples = trainer.config, len(trainer.examples)
    lap, lap_step = clock(), trainer.step
    with stop_on_signals(reporter) as request:
        while trainer.step < trainer.steps and request.signal_name is None:
            rate = trainer.learning_rate()
            trainer.train_step()
            record = None
            if trainer.step % config.log_every == 0 or trainer.step == trainer.steps:
                trainer.check_finite()
                measured = trainer.take_measurements()
                seconds, samples = clock() - lap, (trainer.step - lap_step) * config.batch_size
                lap, lap_step = clock(), trainer.step
                record = {
                    "step": trainer.step,
                    "samples": trainer.step * config.batch_size,
                    "epoch": trainer.step * config.batch_size / examples,
                    **measured,
                    "learning_rate": rate,
                    "ema_decay": trainer.ema.decay_at(trainer.step - 1),
                    "samples_per_second": samples / max(seconds, 1e-9),
                }
                folder.append_log(record)
            reporter.step(trainer.step, trainer.steps, record)
            if trainer.step % config.checkpoint_every == 0 and trainer.step < trainer.steps:
                save(trainer, folder)
        if trainer.step in folder.steps():  # a kill may have come between a checkpoint and its model
            folder.save_model(trainer.averaged_weights(), trainer.step)
        else:
            save(trainer, folder)
    return trainer.step >= trainer.steps
