"""Which width of average is best, by the loss on held-out examples."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from beeline.core import config
from beeline.core.data import Examples
from beeline.core.errors import RunError
from beeline.evaluate.probes import HeldOutLoss, held_out_batches
from beeline.generate.engine import Engine
from beeline.model.build import build_objective
from beeline.objectives.config import ObjectiveConfig
from beeline.train.setup import encode_unseen
from beeline.train.snapshots import History

WIDTHS = tuple(percent / 100 for percent in range(5, 21))


@dataclass(frozen=True)
class Trial:
    """A width and what it is worth.

    Args:
        width: relative width of the average.
        error: of its profile, as it can be rebuilt.
        loss: mean objective on held-out examples.
    """

    width: float
    error: float
    loss: float


def held_out_probe(engine: Engine, settings: Mapping[str, Any], held_out: Examples) -> HeldOutLoss:
    """The probe that runs beside training, of a model that is trained: same examples, times and noise.

    Args:
        engine: the model.
        settings: the config that it was trained with.
        held_out: examples that training did not see.

    Raises:
        UserError: an example does not fit the model.
    """
    unseen = encode_unseen(engine.codec, held_out)
    training = settings["train"]
    at_a_time = training["batch_size"] // training["accumulation"]
    batches = held_out_batches(engine.codec, unseen, at_a_time, str(engine.device))
    chosen = config.build(ObjectiveConfig, settings["objective"], "objective")
    objective = build_objective(chosen, engine.process, engine.source, engine.codec)
    return HeldOutLoss(objective, batches, every=1, precision=training["precision"])


def try_widths(
    engine: Engine,
    probe: HeldOutLoss,
    history: History,
    base: Mapping[str, Tensor],
    widths: Sequence[float],
    progress: Callable[[int, int], None],
) -> list[Trial]:
    """The held-out loss of averages of some widths.

    Args:
        engine: the model, whose weights are replaced.
        probe: measures the loss.
        history: what averages are rebuilt from.
        base: the model's tensors.
        widths: that can be rebuilt.
        progress: called with (widths done, widths in all).

    Raises:
        RunError: a loss is not finite.
    """
    trials = []
    for done, (width, error) in enumerate(zip(widths, history.errors(widths), strict=True), 1):
        engine.network.load_state_dict(history.average(width, base))
        loss = probe(history.step, engine.network)["held_out_loss"]
        if not math.isfinite(loss):
            raise RunError(f"width {width:g}: the loss on held-out examples is not finite")
        trials.append(Trial(width, error, loss))
        progress(done, len(widths))
    return trials
