"""What a run leaves open is chosen once, for its data, this machine and the time there is.

The rules are rules of thumb, from runs of minutes on 2 CPU cores, and each choice is printed with its reason:

    tokens a sample     as many as let DiT-Micro see 250,000 samples, between 64 and 256
    model               the largest preset that sees a sample for every 20 of its parameters; seeing an example more
                        than 500 times does not count
    batch               64, doubled up to 256 while 10,000 steps are left; steps matter more than samples
    learning rate       4e-3 min(1, 128 / width)
    warm-up             3 % of the steps, at most 500
    duration            10 minutes of training, or 1,000 epochs where that is shorter
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from beeline.backbone.config import PRESETS, condition_width, resolve_sizes
from beeline.core.choices import Choice
from beeline.core.config import plain
from beeline.core.offers import Settling
from beeline.core.protocols import Modality
from beeline.core.units import Duration, amount, clock
from beeline.modalities.loading import ModalitySource, ask
from beeline.model.cost import expected_flops, expected_parameters
from beeline.train.config import RunConfig, TrainConfig, chosen
from beeline.train.memory import MemoryPlan, plan_within, refuse_shortage
from beeline.train.timing import product_rate, step_seconds, step_text
from beeline.train.trainer import Trainer

OPEN = "auto"
PASSES = 3  # a training step costs a pass forward and twice that backward
_SECONDS = 600.0
_FEWEST_TOKENS, _MOST_TOKENS = 64, 256
_SAMPLES_FOR_TOKENS, _SHARE_OF_RATE = 250_000, 0.5
_CANDIDATES = ("DiT-Nano", "DiT-Micro", "DiT-Tiny", "DiT-S", "DiT-B", "DiT-L")
_PARAMETERS_A_SAMPLE, _MOST_EPOCHS_COUNTED = 20, 500
_BATCH, _LARGEST_BATCH, _STEPS_FOR_LARGER = 64, 256, 10_000
_RATE, _RATE_WIDTH = 4e-3, 128
_MOST_EPOCHS, _FEWEST_STEPS = 1000, 1000
_SECONDS_BETWEEN_CHECKPOINTS = 30.0

Fresh = Callable[[RunConfig, int], Trainer]


@dataclass(frozen=True)
class Trial:
    """A candidate, and what it takes here.

    Args:
        config: with the candidate's values.
        seconds: a step; None where it was not measured, for want of memory or of a reason.
        plan: its memory.
        recompute: whether activations are computed again, as asked or for want of memory.
    """

    config: RunConfig
    seconds: float | None
    plan: MemoryPlan
    recompute: bool

    @property
    def batch(self) -> int:
        """Samples a step."""
        return chosen("batch_size", self.config.train.batch_size)


@dataclass(frozen=True)
class Chosen:
    """A run with nothing left open.

    Args:
        config: complete; duration in steps.
        choices: what was open.
        steps: of the whole run.
        plan: its memory.
        seconds: a step, where that had to be measured.
    """

    config: RunConfig
    choices: tuple[Choice, ...]
    steps: int
    plan: MemoryPlan
    seconds: float | None


def time_limit(train: TrainConfig) -> float | None:
    """Seconds that training may take, None where its duration is no time."""
    if train.duration == OPEN:
        return _SECONDS
    duration = Duration.parse(train.duration)
    return duration.amount if duration.unit == "seconds" else None


def check_open(config: RunConfig) -> None:
    """Refuse sizes and durations that are none, before any long work; what is open is none of those.

    Raises:
        UserError: they are.
    """
    if config.train.duration != OPEN:
        Duration.parse(config.train.duration)
    if not preset_is_open(config):
        resolve_sizes(config.model)


def preset_is_open(config: RunConfig) -> bool:
    """Whether the network's preset is to be chosen."""
    return config.model.preset.partition("/")[0].lower() == OPEN


def settle_data(config: RunConfig, source: ModalitySource) -> tuple[RunConfig, Modality, tuple[str, ...]]:
    """The modality with nothing left open, and what it chose and why.

    Args:
        config: settled for the machine.
        source: the modality that it names.

    Raises:
        UserError: the modality refuses its options or its data.
    """
    modality = source.make(config.data)
    if not isinstance(modality, Settling) or not any(value in (OPEN, None) for value in config.data.values()):
        return config, modality, ()
    settled, reasons = ask(source, modality, "settle", affordable_tokens(config.train))
    return replace(config, data=plain(settled)), settled, tuple(reasons)


def affordable_tokens(train: TrainConfig) -> int:
    """Tokens a sample with which the smaller presets still see enough samples."""
    rate = _SHARE_OF_RATE * product_rate(train.device, train.precision)
    a_token = PASSES * expected_flops(PRESETS["DiT-Micro"], _FEWEST_TOKENS) / _FEWEST_TOKENS
    tokens = rate * (time_limit(train) or _SECONDS) / (a_token * _SAMPLES_FOR_TOKENS)
    return int(min(_MOST_TOKENS, max(_FEWEST_TOKENS, tokens)))


def choose(config: RunConfig, examples: int, tokens: int, fresh: Fresh) -> Chosen:
    """Settle what is open, and reckon the memory.

    Args:
        config: settled for the machine and the data.
        examples: samples an epoch.
        tokens: of the most frequent form of sample.
        fresh: makes a trainer of a config and a number of steps.

    Raises:
        UserError: training would not fit into memory.
    """
    return _Chooser(config, examples, tokens, fresh).choose()


class _Chooser:
    """Settles one thing after another: the model, the batch, the duration, the rates that depend on them."""

    def __init__(self, config: RunConfig, examples: int, tokens: int, fresh: Fresh) -> None:
        self.config = config
        self.examples = examples
        self.tokens = tokens
        self.fresh = fresh
        self.limit = time_limit(config.train)
        self.choices: list[Choice] = []

    def choose(self) -> Chosen:
        """Everything."""
        open_batch = self.config.train.batch_size is None
        start = _with(self.config, batch_size=self._first_batch()) if open_batch else self.config
        trial = self._preset(start) if preset_is_open(self.config) else self._try(start)
        if open_batch:
            trial = self._batch(trial)
        refuse_shortage(trial.plan)
        steps = self._steps(trial)
        if trial.recompute and self.config.train.activation_checkpointing == OPEN:
            why = "kept, activations do not fit into the memory that there is"
            self.choices.append(Choice("train.activation_checkpointing", "true", why))
        settled = {"duration": f"{steps} steps", "activation_checkpointing": trial.recompute}
        config = _with(trial.config, **settled, **self._rates(trial, steps))
        return Chosen(config, tuple(self.choices), steps, trial.plan, trial.seconds)

    def _try(self, config: RunConfig) -> Trial:
        """Reckon the memory of a candidate, and time it where it fits and time matters."""
        train = config.train
        stand_ins = {"learning_rate": _RATE, "warmup_steps": 0, "checkpoint_every": 1}
        trainer = self.fresh(
            _with(config, **{name: value for name, value in stand_ins.items() if getattr(train, name) is None}), 1000
        )
        plan = plan_within(trainer)
        timed = plan.fits and (self.limit is not None or self._is_open())
        return Trial(config, step_seconds(trainer) if timed else None, plan, trainer.network.backbone.recompute)

    def _is_open(self) -> bool:
        return preset_is_open(self.config) or self.config.train.duration == OPEN

    def _first_batch(self) -> int:
        most, parts = min(_BATCH, self.examples), self.config.train.accumulation
        return max(parts, (1 << (most.bit_length() - 1)) // parts * parts)

    def _seen(self, trial: Trial) -> float:
        """Samples that a candidate would learn from in the time there is; none where it would take too long."""
        if trial.seconds is None:
            return 0.0
        if self.limit is not None:
            samples = self.limit / trial.seconds * trial.batch
        else:
            steps = Duration.parse(self.config.train.duration).steps(trial.batch, self.examples)
            samples = steps * trial.batch if steps * trial.seconds <= _SECONDS else 0.0
        return min(samples, _MOST_EPOCHS_COUNTED * self.examples)

    def _preset(self, start: RunConfig) -> Trial:
        """The largest preset that sees enough samples; each is timed only where it may be."""
        _, slash, patch = start.model.preset.partition("/")
        rate = product_rate(start.train.device, start.train.precision)
        best, reached, next_one = None, 0.0, ""
        for name in _CANDIDATES:
            config = replace(start, model=replace(start.model, preset=f"{name}{slash}{patch}"))
            sizes = resolve_sizes(config.model)
            wanted = expected_parameters(sizes) / _PARAMETERS_A_SAMPLE
            cost = PASSES * expected_flops(sizes, self.tokens)
            if best is not None:
                # A wider network uses the machine better, though hardly twice as well.
                at_best = min(rate, 2 * reached) * (self.limit or _SECONDS) / cost
                next_one = f"; {name} should see {amount(wanted)}"
                if min(at_best, _MOST_EPOCHS_COUNTED * self.examples) < wanted:
                    break
            trial = self._try(config)
            if best is not None and self._seen(trial) < wanted:
                break
            best = trial
            if trial.seconds is None:
                break
            reached = cost * trial.batch / trial.seconds
        assert best is not None
        seen = amount(self._seen(best))
        why = f"the largest that learns from enough samples, about {seen}{next_one}"
        if self._seen(best) < expected_parameters(resolve_sizes(best.config.model)) / _PARAMETERS_A_SAMPLE:
            few = self._seen(best) == _MOST_EPOCHS_COUNTED * self.examples
            limit = f"{self.examples:,} examples" if few else f"time for {seen} samples"
            why = f"the smallest; {limit} would not teach a larger one"
        self.choices.append(Choice("model.preset", best.config.model.preset, why))
        return best

    def _batch(self, trial: Trial) -> Trial:
        """Larger while many steps are left, smaller while memory does not suffice."""
        smallest, why = self.config.train.accumulation, "steps matter more than samples in a short run"
        if self.limit is not None and trial.seconds is not None:
            while 2 * trial.batch <= min(_LARGEST_BATCH, self.examples):
                larger = self._try(_with(trial.config, batch_size=2 * trial.batch))
                if larger.seconds is None or self.limit / larger.seconds < _STEPS_FOR_LARGER:
                    break
                if larger.recompute and not trial.recompute:
                    break
                trial, why = larger, f"leaves more than {_STEPS_FOR_LARGER:,} steps"
        while not trial.plan.fits and trial.batch >= 2 * smallest:
            smaller = trial.batch // 2 // smallest * smallest
            trial, why = self._try(_with(trial.config, batch_size=smaller)), "what fits into memory"
        if trial.batch < _BATCH and trial.plan.fits and trial.batch * 2 > self.examples:
            why = f"there are {self.examples:,} examples"
        self.choices.append(Choice("train.batch_size", str(trial.batch), why))
        return trial

    def _steps(self, trial: Trial) -> int:
        if self.limit is None:
            return Duration.parse(self.config.train.duration).steps(trial.batch, self.examples)
        assert trial.seconds is not None
        steps = max(1, int(self.limit / trial.seconds))
        why = f"{clock(self.limit)} of training at {step_text(trial.seconds)} a step, measured"
        if self.config.train.duration == OPEN:
            most = max(_FEWEST_STEPS, Duration(_MOST_EPOCHS, "epochs").steps(trial.batch, self.examples))
            why = (
                f"{why}; no time was asked for" if steps <= most else f"{_MOST_EPOCHS:,} epochs; no time was asked for"
            )
            steps = min(steps, most)
        self.choices.append(Choice("train.duration", f"{steps} steps", f"{why}; samples and report come after"))
        return steps

    def _rates(self, trial: Trial, steps: int) -> dict[str, float]:
        """What depends on the width of the network and on the number of steps."""
        width, train = condition_width(trial.config.model), trial.config.train
        every = steps // 10 if trial.seconds is None else round(_SECONDS_BETWEEN_CHECKPOINTS / trial.seconds)
        rate = float(f"{_RATE * min(1.0, _RATE_WIDTH / width):.2g}")
        rules: dict[str, tuple[float, str]] = {
            "learning_rate": (rate, f"4e-3 x 128 / {width}, the width; at most 4e-3: a rule of thumb"),
            "warmup_steps": (min(500, max(1, round(0.03 * steps))), "3 % of the steps, at most 500"),
            "checkpoint_every": (min(steps, max(1, every)), "about twice a minute, once at least"),
        }
        missing = {name: rule for name, rule in rules.items() if getattr(train, name) is None}
        self.choices += [Choice(f"train.{name}", f"{value:g}", why) for name, (value, why) in missing.items()]
        return {name: value for name, (value, _) in missing.items()}


def memorisation(examples: int, samples: int) -> str | None:
    """A warning where examples are seen so often that a network may learn them by heart.

    Args:
        examples: samples an epoch.
        samples: of the whole run.
    """
    if samples <= _MOST_EPOCHS_COUNTED * examples:
        return None
    return (
        f"warning: each of the {examples:,} examples will be seen {samples / examples:,.0f} times; samples may come "
        "out as copies of them (the report shows the nearest ones). More data, or a shorter --train.duration, help"
    )


def _with(config: RunConfig, **train: Any) -> RunConfig:
    return replace(config, train=replace(config.train, **train))
