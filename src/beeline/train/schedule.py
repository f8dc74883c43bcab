"""The learning rate over a run: linear warm-up, constant, linear decay (Hu et al. 2024 call it WSD)."""

from __future__ import annotations

from beeline.train.config import TrainConfig


def learning_rate(config: TrainConfig, step: int, steps: int) -> float:
    """Learning rate of one step.

    Args:
        config: rate, warm-up and decay.
        step: the step, counted from 0.
        steps: steps of the whole run.
    """
    warmup = min(1.0, (step + 1) / (config.warmup_steps + 1))
    left = (steps - step) / max(1.0, config.decay_share * steps) if config.decay_share else 1.0
    return config.learning_rate * warmup * max(config.decay_to, min(1.0, left))
