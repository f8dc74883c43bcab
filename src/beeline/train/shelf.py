"""Encoded examples of any forms on the device that trains, where batches are gathered from them.

The host knows the size of every example, makes tables of what goes where (``strips.py``) and sends them; nothing is
asked of the device, and a batch is what ``Codec.batch`` makes of the same examples.

Shapes: M examples, N samples of a batch, B rows of l blocks or L tokens, C numbers a token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from beeline.core.conditions import Conditions, Value
from beeline.core.context import Context
from beeline.core.data import Batch
from beeline.core.device import sent_together
from beeline.core.tokens import Layout, Tokens
from beeline.model.codec import Codec, Encoded
from beeline.train.strips import SEGMENT, Numbers, Pile

_PLACES = ("coords", "ids", "cells")
_CONTEXT = ("values", "coords", "keep")


class Shelf:
    """Examples from which batches are gathered.

    Args:
        codec: that encoded them.
        examples: at least one.
        packing: several samples a row instead of padding each.
        device: where they lie.

    Raises:
        UserError: samples that attend to a condition are to share rows.
    """

    def __init__(self, codec: Codec, examples: Sequence[Encoded], packing: bool = False, device: str = "cpu") -> None:
        self._packing = packing
        self._device = torch.device(device)
        self._rates = codec.batch(examples[:1], packing).conditions.rates
        tokens = [example.tokens for example in examples]
        same: dict[tuple[Layout, ...], tuple[Layout, ...]] = {}  # equal ones are one, and quickly compared
        self._layouts = [same.setdefault(each.layout, each.layout) for each in tokens]
        self._pile = Pile([each.values.shape[1] for each in tokens], self._device)
        for name in ("values", *_PLACES, "observed"):
            parts = [getattr(each, name) for each in tokens]
            self._pile.lay(name, parts, shared=name in _PLACES, filled=name in ("cells", "observed"))
        self._contexts: dict[str, Pile] = {}
        self._vectors: dict[str, Tensor] = {}
        self._names = list(examples[0].values)
        for name in self._names:
            self._lay(name, [example.values[name] for example in examples])
        self._null = {
            name: torch.tensor([example.null[name] for example in examples]).to(device) for name in examples[0].null
        }
        strips = [self._pile.strips[name] for name in _PLACES if name in self._pile.strips]
        self.one_form = all(each == self._layouts[0] for each in self._layouts) and all(
            strip.distinct == 1 and strip.has.all() for strip in strips
        )

    def _lay(self, name: str, column: Sequence[Tensor | Tokens | Context]) -> None:
        maps = [value.values for value in column if isinstance(value, Tokens)]
        contexts = [value for value in column if isinstance(value, Context)]
        if maps:
            self._pile.lay(_map(name), maps)
        elif contexts:
            pile = self._contexts[name] = Pile([each.values.shape[1] for each in contexts], self._device)
            for part in _CONTEXT:
                pile.lay(part, [getattr(each, part) for each in contexts], shared=part != "values")
        else:
            vectors = [value for value in column if isinstance(value, Tensor)]
            self._vectors[name] = torch.stack(vectors).to(self._device)

    def tensors(self) -> list[Tensor]:
        """All that lies on the device."""
        piles = (self._pile, *self._contexts.values())
        strips = [strip.blocks for pile in piles for strip in pile.strips.values()]
        return [*strips, *self._vectors.values(), *self._null.values()]

    def bytes_of(self, count: int) -> int:
        """Bytes that so many examples like these would take.

        Args:
            count: of them.
        """
        each = sum(rows.nbytes for rows in (*self._vectors.values(), *self._null.values())) / len(self._layouts)
        return round(count * each) + sum(pile.bytes_of(count) for pile in (self._pile, *self._contexts.values()))

    def batch(self, indices: Sequence[int]) -> Batch:
        """Some of the examples, as ``Codec.batch`` has them save that those of one form have contexts of one length.

        Args:
            indices: which.
        """
        picked = np.asarray(indices, dtype=np.int64)
        length = self._pile.longest if self._packing else None
        made: dict[str | None, dict[int, Numbers]] = {None: self._pile.tables(picked, self._packing, length)}
        for name, pile in self._contexts.items():
            made[name] = pile.tables(picked, length=pile.longest if self.one_form else None)
        keys = [(whose, course) for whose, tables in made.items() for course in tables]
        arrays = [picked, *(made[whose][course] for whose, course in keys)]
        index, *sent = sent_together(arrays, self._device)
        there: dict[str | None, dict[int, Tensor]] = {whose: {} for whose in made}
        for (whose, course), table in zip(keys, sent, strict=True):
            there[whose][course] = table
        values: dict[str, Value] = {}
        for name in self._names:
            if name in self._contexts:
                values[name] = self._context(name, there[name])
            elif name in self._vectors:
                values[name] = self._vectors[name].index_select(0, index)
            else:
                values[name] = self._gathered(_map(name), there[None])
        null = {name: rows.index_select(0, index) for name, rows in self._null.items()}
        return Batch(self._tokens(picked, there[None]), Conditions(values, null, self._rates))

    def _gathered(self, name: str, tables: Mapping[int, Tensor]) -> Tensor:
        strip = self._pile.strips[name]
        return strip.gathered(tables[strip.course])

    def _context(self, name: str, tables: Mapping[int, Tensor]) -> Context:
        strips = (self._contexts[name].strips[part] for part in _CONTEXT)
        return Context(*(strip.gathered(tables[strip.course]) for strip in strips))

    def _tokens(self, picked: Numbers, tables: Mapping[int, Tensor]) -> Tokens:
        pile = self._pile
        values = self._gathered("values", tables)
        segment = keep = None
        if self._packing:
            segment = _of_tokens(tables[SEGMENT], pile.unit)
            keep = segment >= 0
        elif not pile.even and len(set(pile.sizes[picked].tolist())) > 1:
            keep = _of_tokens(tables[pile.strips["values"].course] > 0, pile.unit)

        def part(name: str, wanted: np.bool) -> Tensor | None:
            if name not in pile.strips or not wanted:
                return None
            common = None if self._packing or name not in _PLACES else pile.common(name, picked)
            return self._gathered(name, tables) if common is None else common

        def has(name: str) -> Numbers:
            return pile.strips[name].has[picked] if name in pile.strips else np.zeros(1, dtype=bool)

        cells = part("cells", has("cells").any())
        if cells is None and keep is not None:
            cells = keep[..., None].expand(*keep.shape, values.shape[-1])
        return Tokens(
            values,
            coords=part("coords", has("coords").all()),
            ids=part("ids", has("ids").all()),
            keep=keep,
            cells=cells,
            segment=segment,
            layout=tuple(chain.from_iterable(self._layouts[index] for index in picked.tolist())),
            observed=part("observed", has("observed").any()),
        )


def _map(name: str) -> str:
    return f"condition {name}"


def _of_tokens(of_blocks: Tensor, unit: int) -> Tensor:
    """(B, l) as (B, l u): every token as its block."""
    return of_blocks if unit == 1 else of_blocks[..., None].expand(*of_blocks.shape, unit).flatten(1)
