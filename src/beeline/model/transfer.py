"""From the tensors of a trained network to those of another: what is loaded, resized, begun anew or left.

A tensor of another shape is never passed over: it is resized by a rule that is named, or it is an error (E39).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from beeline.backbone.config import ModelConfig, resolve_sizes
from beeline.conditioning.label import ClassLabel
from beeline.core.errors import UserError
from beeline.core.protocols import Condition, Tokenizer
from beeline.model.codec import Codec
from beeline.model.network import Network
from beeline.model.resize import PatchCells, resize_grid, resize_inputs, resize_outputs
from beeline.model.starting import MEMBERS, Starting
from beeline.model.table import Row
from beeline.nn.embeddings import PerBlock

_EMBED, _HEAD, _POSITIONS = "backbone.embed.weight", "backbone.head.", "backbone.learned.table"


def transfer(start: Starting, network: Network, codec: Codec) -> tuple[dict[str, Tensor], list[Row]]:
    """Tensors with which a network begins, made of those of a trained one.

    Args:
        start: the trained network.
        network: fresh, without additions; what the trained one has not comes from it.
        codec: of the data that it will be trained on.

    Returns:
        a tensor for each of the network, and what became of each, then those of the trained one that are left.

    Raises:
        UserError: a tensor has another shape for which there is no rule, or its numbers mean something else.
    """
    check_fit(start, network.dit.head_size, network.dit.embed.out_features, codec.tokenizer)
    if isinstance(network.dit.time, PerBlock) != (start.model.embedders == "per_block"):
        raise UserError(
            f"the network to begin from has model.embedders {start.model.embedders}; leave model.embedders and "
            "model.compatible_with out"
        )
    rules = _Rules(start, network, codec)
    tensors, rows = {}, []
    for name, own in network.state_dict().items():
        tensor, row = rules.apply(name, own)
        if tensor.shape != own.shape:
            raise UserError(
                f"tensor {name} is {tuple(tensor.shape)} in the network to begin from and {tuple(own.shape)} in this "
                "one, for which there is no rule; leave out the options that make the two differ"
            )
        tensors[name] = tensor.detach().to(own.dtype).clone()
        rows.append(row)
    left = [name for name in start.tensors if name not in rules.used]
    return tensors, [*rows, *(Row(name, "left", "nothing here takes it") for name in left)]


def check_config(start: Starting, model: ModelConfig, tokenizer: Tokenizer) -> None:
    """Refuse options and data that the tensors cannot serve, before the network is built.

    Args:
        start: the trained network.
        model: options of the network to be.
        tokenizer: of its data, fitted or not.

    Raises:
        UserError: they cannot.
    """
    if "unet" in (model.backbone, start.model.backbone):
        raise UserError("init: begins networks of model.backbone dit alone, not unet; leave --init or the backbone out")
    sizes = resolve_sizes(model)
    check_fit(start, sizes.hidden_size // sizes.num_heads, sizes.hidden_size, tokenizer)


def check_fit(start: Starting, head_size: int, width: int, tokenizer: Tokenizer) -> None:
    """Refuse what has another meaning, whatever its shape: heads and axes.

    Args:
        start: the trained network.
        head_size: numbers a head of the network to be.
        width: its hidden size.
        tokenizer: its tokens.

    Raises:
        UserError: something has.
    """
    sizes, trained = resolve_sizes(start.model), start.codec.tokenizer
    if (sizes.hidden_size, sizes.hidden_size // sizes.num_heads) != (width, head_size):
        raise UserError(
            f"the network to begin from has hidden_size {sizes.hidden_size} and num_heads {sizes.num_heads}, this one "
            f"{width} and {width // head_size}; leave out model.preset, model.hidden_size and model.num_heads"
        )
    if trained.axes != tokenizer.axes:
        raise UserError(
            f"the network to begin from reads tokens along {trained.axes} axes, these data have {tokenizer.axes}"
        )


def cells_of(tokenizer: Tokenizer) -> PatchCells:
    """What the numbers of a token are; of a tokenizer that makes no patches, numbers without a place."""
    patch, channels = getattr(tokenizer, "patch", None), getattr(tokenizer, "channels", None)
    if isinstance(patch, tuple) and isinstance(channels, int) and PatchCells(patch, channels).volume * channels:
        cells = PatchCells(patch, channels)
        if cells.volume * channels == tokenizer.width:
            return cells
    return PatchCells((), tokenizer.width)


def pair_conditions(trained: Sequence[Condition], wanted: Sequence[Condition]) -> dict[str, Condition]:
    """The trained condition behind each wanted one, by name; a single class label on both sides by being one."""
    by_name = {condition.name: condition for condition in trained}
    pairs = {each.name: by_name[each.name] for each in wanted if each.name in by_name}
    labels = [[each for each in side if isinstance(each, ClassLabel)] for side in (trained, wanted)]
    if len(labels[0]) == len(labels[1]) == 1:
        pairs[labels[1][0].name] = labels[0][0]
    kinds = {each.name: (type(each).__qualname__, each.route) for each in wanted}
    return {name: each for name, each in pairs.items() if (type(each).__qualname__, each.route) == kinds[name]}


class _Rules:
    """Finds for each tensor of the run's network what it begins with."""

    def __init__(self, start: Starting, network: Network, codec: Codec) -> None:
        self.start = start
        self.network = network
        self.codec = codec
        self.pairs = pair_conditions(start.codec.conditions, codec.conditions)
        self.before, self.after = cells_of(start.codec.tokenizer), cells_of(codec.tokenizer)
        if len(self.before.patch) != len(self.after.patch) or (not self.after.patch and self.before != self.after):
            raise UserError(
                f"the network to begin from reads tokens of {self.before.numbers} numbers, these data have "
                f"{self.after.numbers} that are no patches of such"
            )
        self.used: set[str] = set()

    def apply(self, name: str, own: Tensor) -> tuple[Tensor, Row]:
        """What a tensor begins with, and what became of it."""
        if name == MEMBERS:
            return own, Row(name, "fresh", "of this run's data")
        condition, source = self._source(name)
        found = self.start.tensors.get(source) if source is not None else None
        if source is None or found is None:
            what = "condition" if source is None else "tensor"
            return own, Row(name, "fresh", f"the network to begin from has no such {what}", untrained=True)
        self.used.add(source)
        if name == _EMBED:
            return self._embed(name, found)
        if name.startswith(_HEAD):
            return self._head(name, found)
        if name == _POSITIONS:
            return self._grid(name, found)
        if condition is not None:
            return self._condition(name, found, own, condition)
        return found, Row(name, "loaded")

    def _source(self, name: str) -> tuple[Condition | None, str | None]:
        """The condition that a tensor belongs to, and the name of its like in the trained network."""
        room, _, rest = name.partition(".")
        if room != "embedders":
            return None, name
        own, _, rest = rest.partition(".")
        pair = self.pairs.get(own)
        return self.codec.condition(own), None if pair is None else f"embedders.{pair.name}.{rest}"

    def _embed(self, name: str, found: Tensor) -> tuple[Tensor, Row]:
        """The layer that reads tokens: columns of the data, then of each aligned map."""
        maps = {each.name: each for each in self.start.codec.conditions if each.route == "concat"}
        widths = [
            self.before.volume * channels
            for channels in (self.before.channels, *(each.channels for each in maps.values()))
        ]
        if sum(widths) != found.shape[1]:
            return found, Row(name, "loaded")  # its shape is refused
        columns, *rest = found.split(widths, dim=1)
        of_map = dict(zip(maps, rest, strict=True))
        parts, told = [resize_inputs(columns, self.before, self.after)], self._cells_told()
        untrained = self.after.channels > self.before.channels
        for each in (each for each in self.codec.conditions if each.route == "concat"):
            pair = self.pairs.get(each.name)
            now = self.after.with_channels(each.channels)
            if pair is None:
                parts.append(found.new_zeros(len(found), now.volume * each.channels))
                told.append(f"columns of {each.name} start at zero")
                untrained = True
                continue
            parts.append(resize_inputs(of_map.pop(pair.name), self.before.with_channels(pair.channels), now))
            if pair.channels != each.channels:
                told.append(f"channels of {each.name} {_to(pair.channels, each.channels)}")
            untrained |= each.channels > pair.channels
        told += [f"columns of {gone} left" for gone in of_map]
        return torch.cat(parts, dim=1), _resized(name, told, untrained)

    def _head(self, name: str, found: Tensor) -> tuple[Tensor, Row]:
        """The layer that makes tokens: rows of the mean, then those of a learned variance."""
        width, outputs = self.before.volume * self.before.channels, self.network.outputs
        if not len(found) or len(found) % width:
            return found, Row(name, "loaded")  # its shape is refused
        trained, told = len(found) // width, self._cells_told()
        if trained != outputs:
            told.append("variance rows left" if outputs < trained else "variance rows start at zero")
        untrained = self.after.channels > self.before.channels or outputs > trained
        return resize_outputs(found, self.before, self.after, outputs), _resized(name, told, untrained)

    def _cells_told(self) -> list[str]:
        told = []
        if self.before.patch != self.after.patch:
            told.append(f"patch {_times(self.before.patch)} to {_times(self.after.patch)}")
        if self.before.channels != self.after.channels:
            told.append(f"channels {_to(self.before.channels, self.after.channels)}")
        return told

    def _grid(self, name: str, found: Tensor) -> tuple[Tensor, Row]:
        before, after = self.start.codec.extents, self.codec.extents
        if len(found) != math.prod(before):
            return found, Row(name, "loaded")  # its shape is refused
        how = "bicubic" if len(after) == 2 else "linear"
        told = [f"grid {_times(before)} to {_times(after)}, {how}"] if before != after else []
        return resize_grid(found, before, after), _resized(name, told, untrained=False)

    def _condition(self, name: str, found: Tensor, own: Tensor, condition: Condition) -> tuple[Tensor, Row]:
        pair = self.pairs[condition.name]
        if isinstance(condition, ClassLabel) and isinstance(pair, ClassLabel) and name.endswith(".table.weight"):
            return _label_table(name, found, own, pair, condition)
        if condition.route == "concat" and name.endswith(".null"):
            before, after = (
                cells.with_channels(each.channels) for cells, each in ((self.before, pair), (self.after, condition))
            )
            return resize_outputs(found, before, after, 1), _resized(name, self._cells_told(), untrained=False)
        same = _fitted(pair) == _fitted(condition)
        return found, Row(name, "loaded", "" if same else "its numbers are standardised by this run's data")


def _label_table(name: str, found: Tensor, own: Tensor, before: ClassLabel, after: ClassLabel) -> tuple[Tensor, Row]:
    """Rows of classes that are the same, and the null's; others as they were drawn."""
    if found.shape[1] != own.shape[1] or len(found) != before.classes + before.has_null:
        return found, Row(name, "loaded")  # its shape is refused
    table, told, drawn = own.detach().clone(), [], False
    known = bool(before.names and after.names)
    if before.classes == after.classes and (not known or before.names == after.names):
        table[: after.classes] = found[: before.classes]
    else:
        shared = [each for each in after.names if each in before.names] if known else []
        for each in shared:
            table[after.names.index(each)] = found[before.names.index(each)]
        drawn = len(shared) < after.classes
        by_name = f", {len(shared)} of them copied by name" if shared else ""
        told.append(f"{after.classes} classes where {before.classes} were trained{by_name}")
    if before.has_null and after.has_null:
        table[-1] = found[-1]
        told += ["null row kept"] if told else []
    elif before.has_null or after.has_null:
        told.append("null row drawn" if after.has_null else "null row left")
    drawn_null = after.has_null and not before.has_null
    return table, Row(
        name, "re-initialised" if drawn else "resized" if told else "loaded", ", ".join(told), drawn or drawn_null
    )


def _fitted(condition: Condition) -> tuple[Any, Any]:
    return getattr(condition, "mean", None), getattr(condition, "deviation", None)


def _resized(name: str, told: Sequence[str], untrained: bool) -> Row:
    return Row(name, "resized" if told else "loaded", ", ".join(told), untrained)


def _times(extents: Sequence[int]) -> str:
    return "x".join(map(str, extents))


def _to(before: int, after: int) -> str:
    return f"{before} to {after}, " + ("further ones start at zero" if after > before else "the others left")
