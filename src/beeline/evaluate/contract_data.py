"""The clauses of the contract that need no network: parts, data, repetition, splits, normaliser and tokenizer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from beeline.core.batching import collate, pack, unbatch
from beeline.core.data import Batch, Deferred, Example, Examples, condition_of, evenly, group_of, located, name_of
from beeline.core.errors import UserError
from beeline.core.offers import Augmented, Completing
from beeline.core.parts import describe_part, rebuild_part
from beeline.core.protocols import Array, Condition, Normaliser, Tokenizer
from beeline.core.tokens import Tokens
from beeline.evaluate.contract_subject import LOOKED_AT, Progress, Subject, names_of, plural
from beeline.evaluate.sets import fingerprint
from beeline.modalities.loading import ask
from beeline.model.codec_checks import check_example
from beeline.train.config import TrainConfig
from beeline.train.setup import check_groups
from beeline.train.supply import encode_some, supply

RELATIVE = 1e-5
_LEAST_SCALE, _LARGEST_SCALE = 0.05, 20.0
_MOST_COMPARED, _MOST_READ = 20_000, 2048
_MANY = 32
_NUMBERS = TrainConfig(batch_size=8, precision="fp32", device="cpu", threads=1, workers=0, in_memory=True)


def parts(subject: Subject, progress: Progress) -> str:
    """Every method but ``dataset`` gives what its Protocol says, and the parts survive being stored."""
    found = {
        method: ask(subject.source, subject.modality, method)
        for method in ("normaliser", "tokenizer", "conditions", "metrics")
    }
    for part in (found["normaliser"], found["tokenizer"], *found["conditions"]):
        if rebuild_part(describe_part(part), subject.source.module) != part:
            raise UserError(f"{type(part).__name__}: is another after being stored; its fields must hold all it knows")
    return f"conditions: {names_of(found['conditions'])}; metrics: {names_of(found['metrics'])}"


def data(subject: Subject, progress: Progress) -> str:
    """Examples are arrays of real numbers that fit, vary, carry the conditions that are declared, and can be shown."""
    examples, held_out = subject.training, subject.held_out
    encode_some(subject.codec, held_out, "held_out", LOOKED_AT)
    first = subject.some[0]
    if len(subject.some) > 1 and all(_same(first.array, each.array) for each in subject.some[1:]):
        raise UserError("every training example is the same; there is nothing to learn")
    varied = subject.modality.augmentation() if isinstance(subject.modality, Augmented) else None
    for condition in subject.codec.conditions:
        told = varied is not None and varied.condition == condition.name
        if not told and all(each.condition.get(condition.name) is None for each in subject.some):
            raise UserError(
                f"condition '{condition.name}' is declared and no example carries it; put it into Example(array, "
                f"{{'{condition.name}': ...}})"
            )
    ask(subject.source, subject.modality, "preview", [held_out[index] for index in evenly(held_out, 4)])
    forms = "x".join(map(str, first.array.shape))
    more = " ..." if len(subject.codec.forms) > 1 else ""
    return f"{len(examples):,} training and {len(held_out):,} held-out examples, {first.array.dtype} {forms}{more}"


def repeat(subject: Subject, progress: Progress) -> str:
    """An example read twice, in any order, is the same; so is a training batch, in batches of any size."""
    for split, examples in (("train", subject.training), ("held_out", subject.held_out)):
        again = ask(subject.source, subject.fresh(), "dataset", split)
        if len(again) != len(examples):
            raise UserError(f"dataset({split!r}) holds {len(examples)} examples, then {len(again)}; {_SEED}")
        indices = list(evenly(examples, LOOKED_AT))
        once = {index: examples[index] for index in indices}
        for index in reversed(indices):
            for other in (again[index], examples[index]):
                _check_same(once[index], other, located(split, examples, index, "read twice"))
    batches = [_batches(subject, order) for order in (((0, 8), (8, 8)), ((8, 8), (0, 8)), ((0, 16),))]
    for other in batches[1:]:
        for number, one in batches[0].items():
            if not all(_equal(mine, theirs) for mine, theirs in zip(one, other[number], strict=True)):
                raise UserError(f"training sample {number} is another when its batch is built again; {_SEED}")
    return f"{plural(2 * LOOKED_AT, 'example')} at most read three times, training batches built three times"


_SEED = "make every draw from a generator with a fixed seed, in dataset(split)"


def _check_same(one: Example, other: Example, where: str) -> None:
    check_example(other)
    if not _same(one.array, other.array):
        raise UserError(f"{where}: its array is another; {_SEED}")
    if one.condition.keys() != other.condition.keys():
        raise UserError(f"{where}: its conditions are others; {_SEED}")
    for name, value in one.condition.items():
        if not _same(np.asarray(value), np.asarray(other.condition[name])):
            raise UserError(f"{where}: its condition '{name}' is another; {_SEED}")
    if one.group != other.group or not _equal(one.observed, other.observed):
        raise UserError(f"{where}: its {'group' if one.group != other.group else 'observed'} is another; {_SEED}")


def _batches(subject: Subject, order: Sequence[tuple[int, int]]) -> dict[int, tuple[Any, ...]]:
    """Samples 0 ... 15 of a feed that is built anew, asked for in that order: tokens and encoded conditions."""
    modality = subject.modality
    varied = modality.augmentation() if isinstance(modality, Augmented) else None
    feed, _, _ = supply(_NUMBERS, subject.codec, subject.some, varied)
    found: dict[int, tuple[Any, ...]] = {}
    for first, length in order:
        batch: Batch = feed.batch(first, length)
        singles = unbatch(batch.tokens)
        for place, single in enumerate(singles):
            told = [
                _told(batch, each, place) for each in subject.codec.conditions if each.route in ("global", "concat")
            ]
            found[first + place] = (single.values, single.coords, single.ids, single.observed, *told)
    feed.close()
    return found


def _told(batch: Batch, condition: Condition, place: int) -> torch.Tensor:
    """An encoded condition of one sample, without the padding that a map has beside its tokens."""
    value: torch.Tensor = batch.conditions.values[condition.name][place]
    if condition.route == "concat" and batch.tokens.keep is not None:
        return value[batch.tokens.keep[place]]
    return value


def splits(subject: Subject, progress: Progress) -> str:
    """No group and no example is in both splits."""
    training, held_out = subject.training, subject.held_out
    check_groups(subject.source, training, held_out)
    most = _MOST_READ if isinstance(training, Deferred) else _MOST_COMPARED
    sides = [{fingerprint([each[i]], conditions=False): i for i in evenly(each, most)} for each in (training, held_out)]
    names = [{str(group_of(each, index)): index for index in range(len(each))} for each in (training, held_out)]
    for group in sorted(names[0].keys() & names[1].keys() - {"None"}):
        raise UserError(
            f"group {group} is in both splits, written in two ways: held_out "
            f"{name_of(held_out, names[1][group])}, train {name_of(training, names[0][group])}; write it in one way"
        )
    both = sorted(sides[0].keys() & sides[1].keys(), key=sides[1].__getitem__)
    if both:
        one, other = (name_of(each, side[both[0]]) for each, side in zip((training, held_out), sides, strict=True))
        raise UserError(
            f"held_out {other} is train {one}, number for number ({plural(len(both), 'such example')}); give those "
            "that are alike one group, and split by split_by_group"
        )
    groups = {str(group_of(each, index)) for each in (training, held_out) for index in range(len(each))} - {"None"}
    if len(groups) == len(training) + len(held_out):
        return "each example is a group of its own, no example is in both"
    if groups:
        return f"{plural(len(groups), 'group')}, each in one split only; no example is in both"
    alike = _conditions_in_both(subject)
    return f"no groups, no example is in both{alike}"


def _conditions_in_both(subject: Subject) -> str:
    """A hint where examples without groups look as if they belonged together: rare values that the splits share."""
    for condition in subject.codec.conditions:
        if condition.choices is not None or condition.route != "global":
            continue
        sides = [set(_values(each, condition.name)) for each in (subject.training, subject.held_out)]
        count = len(subject.training) + len(subject.held_out)
        if len(sides[0] | sides[1]) >= _MANY and sides[0] & sides[1] and count >= 2 * len(sides[0] | sides[1]):
            return (
                f"; note: {len(sides[0] & sides[1])} values of '{condition.name}' are in both splits: if examples that "
                "share one belong together (a simulation, a donor), give them a group"
            )
    return ""


def _values(examples: Examples, name: str) -> Iterator[bytes]:
    for index in evenly(examples, _MOST_COMPARED):
        value = condition_of(examples, index).get(name)
        if value is not None:
            yield np.asarray(value).tobytes()


def normalise(subject: Subject, progress: Progress) -> str:
    """undo(apply(x)) = x, and what is learned from is of about unit scale."""
    normaliser, worst, squares, count = subject.codec.normaliser, 0.0, 0.0, 0
    tolerance = float(getattr(normaliser, "tolerance", RELATIVE))
    scale = _scale([each.array for each in subject.some])
    for split, index, example in _looked_at(subject):
        where = located(
            split, subject.training if split == "train" else subject.held_out, index, type(normaliser).__name__
        )
        array = normaliser.apply(example.array)
        present = array[np.isfinite(array)]
        squares, count = squares + float(np.square(present, dtype=np.float64).sum()), count + present.size
        back = _undone(normaliser, example, array, where)
        if example.array.dtype.kind in "iub":
            if not np.array_equal(back, example.array):
                raise UserError(f"{where}: undo(apply(x)) is not x, and whole numbers must come back exactly")
            continue
        off = np.abs(back.astype(np.float64) - example.array) / (np.abs(example.array) + scale)
        off = np.where(np.isnan(example.array), 0.0, off)
        worst = max(worst, float(off.max(initial=0.0)))
        if worst > tolerance:
            raise UserError(
                f"{where}: undo(apply(x)) differs from x by {worst:.2g} of it, more than {tolerance:g}; mend undo, or "
                "declare a larger 'tolerance' on the normaliser"
            )
    size = (squares / max(count, 1)) ** 0.5
    if not _LEAST_SCALE <= size <= _LARGEST_SCALE:
        raise UserError(
            f"{type(normaliser).__name__}: normalised numbers have a root mean square of {size:.3g}; noise has 1, and "
            f"between {_LEAST_SCALE:g} and {_LARGEST_SCALE:g} is needed"
        )
    return f"comes back within {worst:.1g} (tolerance {tolerance:g}), root mean square {size:.2f} after it"


def _undone(normaliser: Normaliser, example: Example, array: Array, where: str) -> Array:
    """Native numbers from normalised ones, of the form that they had."""
    lost = np.isfinite(example.array).sum() - np.isfinite(array).sum() if array.shape == example.array.shape else 0
    if lost:
        raise UserError(f"{where}: apply makes {lost} numbers NaN or infinite, such as a logarithm of 0 does")
    if isinstance(normaliser, Completing):  # what it leaves out, samples take from what they start from
        back = normaliser.undo_beside(array, example.array)
    else:
        back = normaliser.undo(array)
    if back.shape != example.array.shape:
        raise UserError(f"{where}: undo gives shape {back.shape}, the data have {example.array.shape}")
    if back.dtype != example.array.dtype and back.dtype != np.float32:
        raise UserError(f"{where}: undo gives {back.dtype}, the data are {example.array.dtype}")
    if not np.array_equal(np.isnan(back), np.isnan(example.array)):
        raise UserError(f"{where}: undo(apply(x)) has NaN in other places than x")
    return back


def _scale(arrays: Sequence[Array]) -> Array:
    """(channels,) root mean square of each channel, what differences are measured against beside the number itself."""
    flat = np.concatenate([each.reshape(-1, each.shape[-1]) for each in arrays]) if _same_channels(arrays) else None
    if flat is None:
        return np.asarray(np.sqrt(np.mean([np.nanmean(np.square(each, dtype=np.float64)) for each in arrays])))
    with np.errstate(invalid="ignore"):
        squares = np.where(np.isnan(flat), 0.0, np.square(flat, dtype=np.float64))
    return np.asarray(np.sqrt(squares.mean(axis=0)) + np.finfo(np.float64).tiny)


def _same_channels(arrays: Sequence[Array]) -> bool:
    return len({each.shape[-1] for each in arrays}) == 1


def tokenise(subject: Subject, progress: Progress) -> str:
    """decode(encode(x)) = x, and ``blank`` is the frame of ``encode``; joined and parted again too."""
    tokenizer = subject.codec.tokenizer
    tolerance = 0.0 if tokenizer.exact else float(getattr(tokenizer, "tolerance", 1e-3))
    worst = 0.0
    singles: list[Tokens] = []
    arrays: list[tuple[torch.Tensor, str]] = []
    for split, index, example in _looked_at(subject):
        where = located(
            split, subject.training if split == "train" else subject.held_out, index, type(tokenizer).__name__
        )
        array = torch.from_numpy(np.ascontiguousarray(subject.codec.normaliser.apply(example.array)))
        tokens = tokenizer.encode(array)
        if tuple(tokens.values.shape[2:]) != (tokenizer.width,):
            raise UserError(f"{where}: tokens of {tuple(tokens.values.shape[2:])} numbers; it says {tokenizer.width}")
        frame = tokenizer.blank(tokenizer.form(array))
        for name in ("values", "coords", "ids", "cells"):
            mine, theirs = getattr(tokens, name), getattr(frame, name)
            if (mine is None) != (theirs is None) or (mine is not None and mine.shape != theirs.shape):
                raise UserError(f"{where}: blank(form(x)) and encode(x) differ in the shape of their {name}")
            if name != "values" and not _equal(mine, theirs):
                raise UserError(f"{where}: blank(form(x)) and encode(x) differ in their {name}")
        worst = max(worst, _off(tokenizer, tokenizer.decode(tokens), array, tolerance, where))
        singles.append(tokens)
        arrays.append((array, where))
    for joined in (collate(singles), pack(singles)):
        for single, (array, where) in zip(unbatch(joined), arrays, strict=True):
            _off(tokenizer, tokenizer.decode(single), array, tolerance, f"{where} joined and parted again")
    return "comes back to the last bit" if tokenizer.exact else f"comes back within {worst:.2g} of {tolerance:g}"


def _off(tokenizer: Tokenizer, back: torch.Tensor, array: torch.Tensor, tolerance: float, where: str) -> float:
    """Root mean square of decode(encode(x)) - x, over that of x."""
    if back.shape != array.shape:
        raise UserError(f"{where}: decode gives shape {tuple(back.shape)}, the array has {tuple(array.shape)}")
    if tokenizer.exact:
        if not torch.equal(back.nan_to_num(nan=torch.pi), array.nan_to_num(nan=torch.pi)):
            raise UserError(f"{where}: says that it is exact, and decode(encode(x)) is not x")
        return 0.0
    there = ~torch.isnan(array)
    off = float((back - array)[there].square().mean().sqrt() / array[there].square().mean().sqrt().clamp(min=1e-12))
    if not off <= tolerance:
        raise UserError(
            f"{where}: decode(encode(x)) is off by {off:.2g} of x, more than {tolerance:g}; mend decode, or declare a "
            "larger 'tolerance' on the tokenizer"
        )
    return off


def _looked_at(subject: Subject) -> Iterator[tuple[str, int, Example]]:
    """A few examples of each split, with where they come from."""
    for split, examples in (("train", subject.training), ("held_out", subject.held_out)):
        for index in evenly(examples, LOOKED_AT // 2):
            yield split, index, examples[index]


def _same(one: Array, other: Array) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return np.array_equal(one, other, equal_nan=one.dtype.kind in "fc")


def _equal(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    return one.shape == other.shape and bool((one == other).all())
