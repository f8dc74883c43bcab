"""The clauses of the contract that ask a tiny network: padding, overfitting, conditions, saving."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from beeline.core.batching import unbatch
from beeline.core.config import plain
from beeline.core.data import Batch, Example
from beeline.core.errors import UserError
from beeline.core.protocols import Condition
from beeline.core.random import Key
from beeline.evaluate.contract_subject import BATCH, NotAskedError, Progress, Small, Subject
from beeline.evaluate.requests import requests_like
from beeline.generate.engine import Engine
from beeline.generate.load import open_engine
from beeline.modalities.loading import ModalitySource, find_modality
from beeline.model.codec_checks import matters
from beeline.model.format import tensors_bytes, write_slim
from beeline.model.starting import describe
from beeline.train.config import TrainConfig

_SAME = 1e-5
_MORE = 3  # tokens of padding beyond the longest sample
_T = 0.7
_STEPS, _WARM, _RATE, _SHARE = 300, 20, 4e-3, 0.05
_LEAST_CHANGE = 1e-3
_DRAWN = 3


def padding(subject: Subject, progress: Progress) -> str:
    """What a network says at a real token is the same alone, padded, and packed beside other samples."""
    small, codec = subject.opened(), subject.codec
    few = [codec.encode(each) for each in (*subject.batch[:2], *_of_other_lengths(subject))]
    longest = max(each.tokens.values.shape[1] for each in few)
    alone = [_said(small, codec.batch([each]))[0] for each in few]
    worst, note = 0.0, ""
    batches = {"padded to a longer row": codec.batch(few, length=longest + _MORE)}
    try:
        batches["packed beside other samples"] = codec.batch(few, packed=True, length=2 * longest + _MORE)
    except UserError as refused:
        note = f"; not packed: {refused}"
    for what, batch in batches.items():
        for one, other in zip(alone, _said(small, batch), strict=True):
            scale = max(1.0, float(one.abs().max()))
            off = float((one - other).abs().max()) / scale
            if not off <= _SAME:
                raise UserError(
                    f"the network says something else at a real token when its sample is {what} (by {off:.2g}): an "
                    "embedder mixes samples, or tokens are told apart by their place in the row"
                )
            worst = max(worst, off)
    return f"alone, {' and '.join(what.split()[0] for what in batches)} agree within {worst:.1g} (atol {_SAME:g}){note}"


def _of_other_lengths(subject: Subject) -> list[Example]:
    """The samples with the fewest and with the most tokens."""
    order = sorted(range(len(subject.some)), key=lambda index: subject.encoded[index].tokens.values.shape[1])
    return [subject.some[order[0]], subject.some[order[-1]]]


def _said(small: Small, batch: Batch) -> list[Tensor]:
    """(L, C) what the network says of each sample at its real tokens, sample by sample."""
    with torch.no_grad():
        t = torch.full((batch.tokens.samples,), _T)
        output = small.network(batch.tokens, t, batch.conditions).output
    return [single.values[0] for single in unbatch(batch.tokens.with_values(output))]


def overfits(subject: Subject, progress: Progress) -> str:
    """A tiny network fits one batch, at times and with noise that stay the same."""
    small = subject.small()
    batch = subject.codec.batch([subject.codec.encode(each) for each in subject.batch])
    key = Key.range(0, 0, batch.tokens.samples)
    settings = TrainConfig(learning_rate=_RATE)
    optimiser = torch.optim.AdamW(small.network.parameters(), lr=_RATE, betas=settings.betas, weight_decay=0.0)
    begin, loss, step = math.nan, math.nan, 0
    for step in range(1, _STEPS + 1):
        for group in optimiser.param_groups:
            group["lr"] = _RATE * min(1.0, step / _WARM)
        losses = small.objective(small.network, batch, key)
        loss = float(losses.detach().mean())
        if not math.isfinite(loss):
            raise UserError(f"the loss of step {step} is {loss}; look for NaN in conditions and in their embedders")
        begin = loss if step == 1 else begin
        if loss < _SHARE * begin:
            break
        optimiser.zero_grad()
        losses.mean().backward()
        torch.nn.utils.clip_grad_norm_(small.network.parameters(), settings.clip_norm)
        optimiser.step()
        progress(step, _STEPS)
    if loss >= _SHARE * begin:
        raise UserError(
            f"after {_STEPS} steps on the same {batch.tokens.samples} examples the loss is {loss:.3g}, "
            f"{loss / begin:.0%} of its beginning, and less than {_SHARE:.0%} is needed: the scale of the normalised "
            "numbers, the coordinates of the tokens or an embedder may be wrong"
        )
    subject.trained = replace(small, network=small.network.eval())
    return (
        f"the loss of one batch of {batch.tokens.samples} fell from {begin:.2f} to below {_SHARE:.0%} in {step} steps"
    )


def conditions(subject: Subject, progress: Progress) -> str:
    """Swapping a condition changes what the network says."""
    if not subject.codec.conditions:
        raise NotAskedError("there are no conditions")
    if subject.trained is None:
        overfits(subject, progress)
    assert subject.trained is not None
    changes = []
    for condition in subject.codec.conditions:
        swapped = _swapped(subject.batch, condition) if matters(condition) else None
        if swapped is None:
            continue
        said = [_told(subject, subject.trained, examples) for examples in (subject.batch, swapped)]
        change = float((said[0] - said[1]).square().mean().sqrt() / said[0].square().mean().sqrt())
        if not change > _LEAST_CHANGE:
            raise UserError(
                f"condition '{condition.name}' is accepted and ignored: others change the output by {change:.1%}; "
                "look at its encode and at its embedder"
            )
        changes.append(f"{condition.name} by {change:.0%}")
    if not changes:
        raise NotAskedError("no condition has two values among the examples")
    return f"swapped, it changes the output: {', '.join(changes)}"


def _told(subject: Subject, small: Small, examples: Sequence[Example]) -> Tensor:
    """(B, L, C) what the network says of noise, or of the starts of paths, under the conditions of some examples.

    Nothing of the data is in what it sees, so that its answers come from noise, time and conditions alone.
    """
    asked = subject.codec.batch([subject.codec.encode(each) for each in examples])
    placed = small.process.placed(asked.tokens, asked.conditions)
    key = Key.range(0, 0, placed.samples).fold("contract")
    noisy = small.process.prior(placed, small.source, key, small.process.t_max)
    with torch.no_grad():
        t = torch.full((noisy.samples,), small.process.t_max)
        output: Tensor = small.network(noisy, t, asked.conditions).output
    return output


def _swapped(examples: Sequence[Example], condition: Condition) -> list[Example] | None:
    """The same examples with one condition passed on to the next; None where none comes to be another."""
    values = [each.condition.get(condition.name) for each in examples]
    for shift in range(1, len(values)):
        moved = values[shift:] + values[:shift]
        if any(not _alike(condition, *pair) for pair in zip(values, moved, strict=True)):
            return [_with(each, condition.name, value) for each, value in zip(examples, moved, strict=True)]
    return None


def _alike(condition: Condition, one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    return bool(np.array_equal(np.asarray(one), np.asarray(other)))


def _with(example: Example, name: str, value: Any) -> Example:
    return replace(example, condition={**example.condition, name: value})


def saves(subject: Subject, progress: Progress) -> str:
    """A model that was saved and opened again draws the same samples, bit by bit."""
    small = subject.opened()
    tensors = dict(small.network.state_dict())
    start = replace(small.start, tensors=tensors)
    engine = Engine(small.network, start, subject.modality, small.process, small.source)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "model"
        write_slim(place, tensors_bytes(tensors, {"step": "0"}), describe(start, _record(subject), _config(start), {}))
        again = open_engine(place, _anew(subject.source), "cpu")
        pairs = zip(*(_drawn(each, subject) for each in (engine, again)), strict=True)
        for number, (one, other) in enumerate(pairs):
            if one.shape != other.shape or one.tobytes() != other.tobytes():
                raise UserError(
                    f"sample {number} of the saved model is another than before: what a normaliser, tokenizer or "
                    "condition has measured must be kept in its dataclass fields"
                )
    return f"{_DRAWN} samples of a saved and opened model are equal, bit by bit"


def _anew(source: ModalitySource) -> ModalitySource:
    """The same modality with its file run again, as in another process: what it kept in variables is gone."""
    return source if source.text is None else find_modality(source.name)


def _drawn(engine: Engine, subject: Subject) -> Iterator[np.ndarray[Any, Any]]:
    requests = requests_like(subject.batch, min(_DRAWN, BATCH), engine)
    return (each.array for each in engine.generate(requests, seed=0).examples)


def _record(subject: Subject) -> dict[str, Any]:
    """The modality as model.json holds it."""
    source = subject.source
    options = plain(subject.modality) if hasattr(subject.modality, "__dataclass_fields__") else {}
    return {"name": source.name, "sha256": source.sha256, "text": source.text, "options": options}


def _config(start: Any) -> Mapping[str, Any]:
    """The config of the run that there might have been."""
    sections = {name: plain(getattr(start, name)) for name in ("model", "process", "objective", "sample")}
    return {**sections, "train": plain(TrainConfig())}
