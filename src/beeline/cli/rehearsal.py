"""What is said before training: what was chosen and why, and, for ``--dry-run``, what training would take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from beeline.cli.resolve import Resolved
from beeline.core.choices import Choice, table
from beeline.core.config import flatten, plain
from beeline.core.units import amount, clock, operations, size

if TYPE_CHECKING:
    from beeline.train.setup import Prepared

_OPTIONS = ("model.preset", *(f"train.{name}" for name in (
    "device", "precision", "matmul", "compile", "cuda_graph", "threads", "batch_size", "learning_rate", "warmup_steps",
    "duration", "checkpoint_every",
)))  # fmt: skip
_DURATIONS = {"train.duration", "train.steps", "train.budget"}


def describe(prepared: Prepared) -> list[str]:
    """What is about to be trained, in a few lines."""
    from beeline.evaluate.likelihood import why_no_bound
    from beeline.model.cost import network_cost
    from beeline.train.choose import memorisation

    objective = prepared.config.objective
    trainer, train_config = prepared.trainer, prepared.config.train
    cost = network_cost(trainer.network, prepared.codec)
    samples = trainer.steps * trainer.batch_size
    lines = [
        f"model: {amount(cost.parameters)} parameters, {cost.tokens} tokens of {cost.width} numbers, "
        f"{operations(cost.flops)} a pass",
        f"training: {trainer.steps:,} steps of {trainer.batch_size} = {samples / trainer.feed.size:.1f} epochs of "
        f"{trainer.feed.size:,} examples, {train_config.device} {train_config.precision}",
    ]
    lines += adaptation_lines(prepared)
    if trainer.tracks is not None:
        count, each = min(train_config.ema_snapshots, trainer.steps), _snapshot_bytes(prepared)
        lines.append(f"snapshots: {count} of {size(each)} for averages of any width (train.ema_snapshots)")
    if trainer.ema.horizon() > trainer.steps:
        lines.append(
            f"warning: ema_decay {train_config.ema_decay} remembers {trainer.ema.horizon():,.0f} steps, longer than "
            "this run; until then its warm-up rules"
        )
    if objective.loss == "vlb":
        reason = why_no_bound(objective.data_levels, prepared.codec.normaliser, [prepared.held_out[0]])
        if reason:
            lines.append(f"warning: objective.loss vlb: {reason}; these have none, so that its bits are no bound")
    warning = memorisation(trainer.feed.size, samples)
    return [*lines, warning] if warning else lines


def beginning_lines(prepared: Prepared, taken: Sequence[str]) -> list[str]:
    """What the network begins from, and what became of its tensors, in a few lines; none where it begins from its seed.

    Args:
        prepared: the run.
        taken: what the recipe asked for and the trained network decided, and what flags changed.
    """
    from beeline.model.table import lines_of

    began = prepared.description.get("began")
    if began is None:
        return []
    lines = [f"begins from {began['path']}, sha256 {began['sha256'][:12]}", *taken]
    lines += [f"  {name}: {text}" for name, text in lines_of(began).items()]
    return lines


def adaptation_lines(prepared: Prepared) -> list[str]:
    """What trains, where not everything does."""
    from beeline.train.adaptation import told

    untrained = prepared.description.get("began", {}).get("untrained", ())
    line = told(prepared.trainer.network, prepared.config.train, untrained)
    return [] if line is None else [line]


def _snapshot_bytes(prepared: Prepared) -> int:
    """Of a snapshot of the averages, kept in half precision."""
    tracks = prepared.trainer.tracks
    return 0 if tracks is None else 2 * sum(tensor.numel() for tensor in tracks.tensors().values())


def choices(resolved: Resolved, prepared: Prepared, machine: Sequence[Choice], every: bool = False) -> list[str]:
    """What was settled and why, an aligned line each.

    Args:
        resolved: says what was asked for.
        prepared: the run.
        machine: what was chosen for the machine.
        every: options that were not open too.
    """
    made = {choice.name: choice for choice in (*machine, *prepared.choice.choices)}
    values = flatten({"model": plain(prepared.config.model), "train": plain(prepared.config.train)})
    values |= {f"data.{name}": value for name, value in prepared.config.data.items()}
    asked = {flag.removeprefix("--").partition("=")[0] for flag in resolved.origin["flags"]}
    rows = []
    further = [name for name in made if name not in _OPTIONS]
    for name in (*sorted(key for key in asked if key.startswith("data.")), *_OPTIONS, *further):
        names = _DURATIONS if name == "train.duration" else {name}
        if name in made:
            rows.append(made[name])
        elif prepared.choice.choices or every:
            why = "as asked" if names & asked else "as in the recipe" if names & resolved.explicit else "the default"
            if every or why == "as asked":
                rows.append(Choice(name, str(values[name]), why))
    return [*prepared.reasons, *table(rows)]


def rehearsal(resolved: Resolved, prepared: Prepared, machine: Sequence[Choice]) -> list[str]:
    """All that ``--dry-run`` prints; some training steps are taken to measure how long they last.

    Args:
        resolved: says what was asked for.
        prepared: the run; its trainer is used up.
        machine: what was chosen for the machine.
    """
    from beeline.core.memory import held_bytes
    from beeline.model.cost import network_cost
    from beeline.train.choose import PASSES
    from beeline.train.timing import step_seconds, step_text

    trainer, plan = prepared.trainer, prepared.choice.plan
    conditions = ", ".join(each.name for each in prepared.codec.conditions) or "none"
    forms = prepared.codec.forms
    shown = ", ".join("x".join(map(str, form)) if len(form) < 5 else f"{len(form)} numbers" for form, _ in forms[:3])
    flops = PASSES * trainer.batch_size * network_cost(trainer.network, prepared.codec).flops
    lines = [
        f"data: {trainer.feed.size:,} training examples, {len(prepared.held_out):,} held out; "
        f"{shown}{' ...' if len(forms) > 3 else ''}; conditions: {conditions}",
        *beginning_lines(prepared, resolved.taken),
        *choices(resolved, prepared, machine, every=True),
        *describe(prepared),
    ]
    seconds = prepared.choice.seconds or step_seconds(trainer)
    place = "beside activations" if plan.gradients_apart else "beyond activations, whose place they take"
    parts = [Choice(f"  {name}", size(count), place * (name == "gradients")) for name, count in plan.every.items()]
    there = "" if plan.available is None else f"of {size(plan.available)} that are there"
    keep = prepared.config.train.keep_checkpoints
    state = held_bytes(trainer.tensors())
    models = 2 if prepared.initial() is None else 3
    snapshots = min(prepared.config.train.ema_snapshots, trainer.steps) * _snapshot_bytes(prepared)
    return [
        *lines,
        f"a step: {operations(flops)}, {step_text(seconds)} measured, {operations(flops / seconds)}/s, "
        f"{trainer.batch_size / seconds:,.0f} samples/s",
        f"time: {clock(trainer.steps * seconds)} of training; samples, scores and report come after",
        "memory:",
        *table([*parts, Choice("  in all", size(plan.need), there)]),
        f"disk: {size((keep + 1) * state + models * plan.parts['weights'] + snapshots)} at most: "
        f"{'two' if models == 2 else 'three'} models, snapshots and {keep} checkpoints of {size(state)}, one more "
        "while it is written",
        "no run was begun",
    ]
