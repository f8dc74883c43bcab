"""The learning rate over a run: linear warm-up, then one of

wsd         constant, then a linear decay over the last share (Hu et al. 2024, "MiniCPM", section 4)
cosine      decay_to + (1 - decay_to) (1 + cos(pi p)) / 2, p the share of the run after the warm-up that is done
constant
"""

from __future__ import annotations

import math

from beeline.train.config import TrainConfig, chosen


def learning_rate(config: TrainConfig, step: int, steps: int) -> float:
    """Learning rate of one step.

    Args:
        config: rate, schedule, warm-up and decay.
        step: the step, counted from 0.
        steps: steps of the whole run.
    """
    warmup = min(1.0, (step + 1) / (chosen("warmup_steps", config.warmup_steps) + 1))
    return chosen("learning_rate", config.learning_rate) * warmup * _decay(config, step, steps)


def _decay(config: TrainConfig, step: int, steps: int) -> float:
    if config.schedule == "wsd" and config.decay_share:
        left = (steps - step) / max(1.0, config.decay_share * steps)
        return max(config.decay_to, min(1.0, left))
    if config.schedule == "cosine":
        warmup = chosen("warmup_steps", config.warmup_steps)
        done = max(0.0, (step - warmup) / max(1, steps - warmup))
        return config.decay_to + (1.0 - config.decay_to) * 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))
    return 1.0
