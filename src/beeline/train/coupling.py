"""Optimal transport over the batch of a step, within each condition (process/coupling.py)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from beeline.core.data import Batch, Examples, condition_of, evenly
from beeline.core.errors import UserError
from beeline.core.protocols import Source
from beeline.core.random import Key
from beeline.model.codec import Codec
from beeline.process.coupling import assign

_LOOKED_AT = 1024


@dataclass(frozen=True)
class OptimalTransport:
    """Gives every sample of a batch the noise of a sample of the same condition and form, so that paths are short.

    Args:
        source: where the objective's noise comes from.
    """

    source: Source

    def __call__(self, batch: Batch, key: Key) -> Batch:
        """The same batch with the partners of its samples.

        Args:
            batch: all samples of a step, each a row of its own.
            key: of the samples, as the objective will be given it.
        """
        noise = self.source.sample(batch.tokens, batch.noise_key(key))
        data = batch.tokens.only_data(batch.tokens.values)
        chosen = assign(data.flatten(1), noise.flatten(1), groups_of(batch))
        return replace(batch, partners=key.numbers[chosen.to(key.numbers.device)])


def groups_of(batch: Batch) -> list[list[int]]:
    """Samples whose conditions and forms are all equal."""
    tokens, conditions = batch.tokens, batch.conditions
    parts = conditions.tensors()
    parts += [part for part in (tokens.ids, tokens.keep) if part is not None]
    rows = [part.detach().cpu().flatten(1) if part.dim() > 1 else part.detach().cpu()[:, None] for part in parts]
    groups: dict[Any, list[int]] = defaultdict(list)
    for index in range(tokens.samples):
        layout = tokens.layout[index] if tokens.layout else None
        groups[layout, *(row[index].numpy().tobytes() for row in rows)].append(index)
    return list(groups.values())


def check_coupling(codec: Codec, training: Examples, packing: bool) -> None:
    """Refuse data in which no two samples could exchange their noise, and rows that several samples share.

    Args:
        codec: fitted.
        training: examples.
        packing: whether samples share rows.

    Raises:
        UserError: they are.
    """
    option = "objective.coupling optimal_transport"
    if packing:
        raise UserError(f"{option}: exchanges the noise of whole rows; leave train.packing out")
    seen = [_told(codec, condition_of(training, index)) for index in evenly(training, _LOOKED_AT)]
    if len(seen) > 1 and len(set(seen)) == len(seen):
        raise UserError(
            f"{option}: noise is exchanged between samples of equal conditions, and no two of {len(seen)} training "
            "examples have equal ones; use coupling independent"
        )


def _told(codec: Codec, condition: Mapping[str, Any]) -> tuple[bytes | None, ...]:
    values = (condition.get(each.name) for each in codec.conditions)
    pairs = zip(codec.conditions, values, strict=True)
    return tuple(None if value is None else _bytes(each.encode(value)) for each, value in pairs)


def _bytes(encoded: Tensor) -> bytes:
    return encoded.detach().to("cpu", torch.float32).contiguous().numpy().tobytes()
