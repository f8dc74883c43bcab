"""Between native samples and batches: normaliser, tokenizer and conditions at work together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from beeline.core.batching import collate, pack, unbatch
from beeline.core.conditions import Conditions, Value, condition_name
from beeline.core.context import Context, below
from beeline.core.data import Batch, Example, Examples, KnownNumbers, condition_of, further, name_of
from beeline.core.errors import UserError, unknown
from beeline.core.offers import Mixing
from beeline.core.protocols import Attended, Condition, Modality, Normaliser, Tokenizer
from beeline.core.tokens import Tokens
from beeline.model.codec_checks import check_end, check_names, check_through, starts
from beeline.model.lending import native, normalised

Form = tuple[int, ...]
_MOST_LOOKED_AT, _MOST_FORMS, _MOST_NUMBERS = 4096, 256, 65536


@dataclass(frozen=True)
class Encoded:
    """One example, ready to be batched.

    Args:
        tokens: its tokens, B = 1.
        values: its encoded conditions; maps are tokens of the same form, what is attended to is a context.
        null: whether each condition is absent.
    """

    tokens: Tokens
    values: Mapping[str, Tensor | Tokens | Context]
    null: Mapping[str, bool]


@dataclass(frozen=True)
class Codec:
    """Everything that turns examples into batches and tokens into native arrays.

    Args:
        normaliser: fitted.
        tokenizer: fitted.
        conditions: fitted.
        forms: forms of the training samples and how many had each, the most frequent first; rare ones are left out
            where they would fill the model's description.
        extents: largest number of tokens along each axis among the training samples.
        end: name of the condition that a bridge ends at, which is never absent; None on other paths.
    """

    normaliser: Normaliser
    tokenizer: Tokenizer
    conditions: tuple[Condition, ...]
    forms: tuple[tuple[Form, int], ...] = ()
    extents: tuple[int, ...] = ()
    end: str | None = None

    @classmethod
    def fit(cls, modality: Modality, training: Examples, end: str | None = None) -> Codec:
        """Measure what normaliser, tokenizer and conditions need on the training examples.

        Args:
            modality: the kind of data.
            training: its examples.
            end: name of the condition that a bridge ends at; None on other paths.

        Raises:
            UserError: an example does not fit the modality, or a bridge cannot end at that condition.
        """
        every, unfitted = range(len(training)), list(modality.conditions())
        start = next((each.name for each in unfitted if each.name == end and starts(each)), None)
        for each in unfitted:
            if starts(each) and end != each.name:
                raise UserError(
                    f"condition {each.name}: is where paths start: process.source condition, process.end {each.name}"
                )
        normaliser = modality.normaliser().fit(KnownNumbers(training, start))
        tokenizer = modality.tokenizer().fit(normaliser.apply(training[index].array) for index in every)
        check_names([condition.name for condition in unfitted])
        if end is not None:
            check_end(end, unfitted, tokenizer)
            if isinstance(normaliser, Mixing) and start is None:
                raise UserError(
                    f"process.end {end}: the data are {normaliser.mixing()} and the map is not; train without"
                )
        return cls(normaliser, tokenizer, tuple(_fitted(condition, training) for condition in unfitted), end=end)

    def with_forms(self, examples: Sequence[Encoded]) -> Codec:
        """The same codec knowing the forms and extents of the training samples."""
        evenly = examples[:: -(-len(examples) // _MOST_LOOKED_AT)]
        counts = Counter(self.tokenizer.form(self.tokenizer.decode(example.tokens)) for example in evenly)
        longest = max(len(form) for form in counts)
        kept = counts.most_common(max(1, min(_MOST_FORMS, _MOST_NUMBERS // max(1, longest))))
        extents = [example.tokens.layout[0].extents for example in examples]
        return replace(self, forms=tuple(kept), extents=tuple(max(axis) for axis in zip(*extents, strict=True)))

    def form(self, array: np.ndarray[Any, Any]) -> Form:
        """The form of a native array: a grid's extents, a set's identities."""
        return self.tokenizer.form(torch.from_numpy(np.ascontiguousarray(self.normaliser.apply(array))))

    def condition(self, name: str) -> Condition:
        """The condition of that name, also as the column of its values is called: ``cell type`` is cell_type.

        Raises:
            UserError: there is none.
        """
        for condition in self.conditions:
            if condition.name in (name, condition_name(name)):
                return condition
        if not self.conditions:
            raise UserError(f"condition '{name}': this model is unconditional")
        raise unknown("condition", name, [condition.name for condition in self.conditions])

    def accepts(self, name: str, value: Any) -> bool:
        """Whether something is one value of a condition, rather than a list of values."""
        condition = self.condition(name)
        try:
            encoded = condition.encode(value)
        except UserError:
            return False
        return condition.route != "concat" or value is None or encoded.dim() == max(1, self.tokenizer.axes) + 1

    def form_of_maps(self, condition: Mapping[str, Any]) -> Form | None:
        """The form of a start, or the extents of the first aligned map over a grid, None without them."""
        for each in self.conditions:
            value = condition.get(each.name)
            if starts(each) and value is not None:
                return self.form(each.encode(value).numpy())
            if each.route == "concat" and value is not None and self.tokenizer.axes:
                return tuple(each.encode(value).shape[:-1])
        return None

    def encode(self, example: Example) -> Encoded:
        """Normalise and tokenise one example and encode its conditions.

        Raises:
            UserError: the array or a condition does not fit.
        """
        return self.with_conditions(self.tokens(example), example.condition)

    def tokens(self, example: Example) -> Tokens:
        """Normalise and tokenise one example, B = 1.

        Raises:
            UserError: the array does not fit.
        """
        try:
            array = np.ascontiguousarray(normalised(self.normaliser, self.conditions, example))
        except (ValueError, IndexError, TypeError) as error:
            raise UserError(f"an array of shape {example.array.shape} does not fit the normaliser ({error})") from None
        observed = example.observed_numbers()
        if observed is not None:
            array = np.where(observed, array, np.float32(0))
        if np.isinf(array).any():
            raise UserError("an array holds infinity")
        tokens = self.tokenizer.encode(torch.from_numpy(array))
        if not torch.isfinite(tokens.values).all():
            raise UserError("an array holds NaN where its tokenizer needs a number")
        return tokens if observed is None else replace(tokens, observed=self._lifted(observed, tokens))

    def _lifted(self, observed: np.ndarray[Any, Any], tokens: Tokens) -> Tensor:
        """Which numbers of the tokens were observed, (1, L, C)."""
        lifted = self.tokenizer.lift(torch.from_numpy(observed.astype(np.float32)), tokens)
        if lifted.shape != tokens.values.shape:
            raise UserError("observed: the tokens of this data mix its numbers, so that none of them can be left out")
        return lifted.bool()

    def with_conditions(self, tokens: Tokens, condition: Mapping[str, Any]) -> Encoded:
        """Put encoded conditions beside tokens.

        Raises:
            UserError: a condition is unknown, does not fit, or is absent where there is no null for it.
        """
        for name in condition:
            self.condition(name)
        if self.end is not None and condition.get(self.end) is None:
            raise UserError(f"condition '{self.end}' is missing: the path of every sample ends at it; give it a value")
        for each in self.conditions:
            if condition.get(each.name) is None and not each.has_null:
                raise UserError(
                    f"condition '{each.name}' is missing and was never dropped in training: give it a value"
                )
            check_through(each, condition)
        return self.placeholder(tokens, condition)

    def placeholder(self, tokens: Tokens, condition: Mapping[str, Any] | None = None) -> Encoded:
        """Put conditions beside tokens without asking whether absent ones have a null: enough to count costs."""
        given = condition or {}
        values: dict[str, Tensor | Tokens | Context] = {}
        told = [each for each in self.conditions if each.route != "beside"]
        for each in told:
            encoded = each.encode(given.get(each.name))
            if isinstance(each, Attended):
                values[each.name] = each.context(encoded, tokens, self.tokenizer)
            elif starts(each):
                values[each.name] = self._start(each, given.get(each.name), tokens)
            else:
                values[each.name] = encoded if each.route == "global" else self._aligned(each.name, encoded, tokens)
        return Encoded(tokens, values, {each.name: given.get(each.name) is None for each in told})

    def _start(self, condition: Condition, value: Any, tokens: Tokens) -> Tokens:
        """The sample that a path starts from, as tokens of the data; zeros where none is given."""
        if value is None:
            return tokens.with_values(torch.zeros_like(tokens.values))
        start = self.tokens(Example(condition.encode(value).numpy()))
        if start.values.shape != tokens.values.shape or start.layout != tokens.layout:
            raise UserError(f"condition {condition.name}: has another form than the sample that starts from it")
        return start

    def _aligned(self, name: str, encoded: Tensor, tokens: Tokens) -> Tokens:
        """Token features of an aligned map; a single cell, which stands for an absent map, is repeated."""
        shape = tokens.layout[0].shape
        if encoded.dim() == 1:
            encoded = encoded.expand(*shape, -1)
        if tuple(encoded.shape[:-1]) != shape:
            raise UserError(f"condition {name}: a map of extents {tuple(encoded.shape[:-1])} over data of {shape}")
        return replace(tokens, values=self.tokenizer.lift(encoded, tokens), cells=None, observed=None)

    def check_packing(self) -> None:
        """Refuse samples that share rows where each attends to a condition of its own.

        Raises:
            UserError: naming the condition.
        """
        for each in self.conditions:
            if each.route == "cross":
                raise UserError(
                    f"train.packing: samples attend to condition {each.name}, each in a row of its own; leave packing "
                    "out"
                )

    def batch(self, examples: Sequence[Encoded], packed: bool = False, length: int | None = None) -> Batch:
        """Batch encoded examples, padded or packed.

        Args:
            examples: at least one.
            packed: several samples a row instead of one.
            length: tokens a row; the longest sample when None.

        Raises:
            UserError: samples that attend to a condition are to share rows.
        """
        if packed:
            self.check_packing()
        join = pack if packed else collate
        values: dict[str, Value] = {}
        for name in examples[0].values:
            column = [example.values[name] for example in examples]
            maps = [value for value in column if isinstance(value, Tokens)]
            contexts = [value for value in column if isinstance(value, Context)]
            vectors = [value for value in column if isinstance(value, Tensor)]
            values[name] = below(contexts) if contexts else join(maps, length).values if maps else torch.stack(vectors)
        null = {name: torch.tensor([example.null[name] for example in examples]) for name in examples[0].null}
        rates = {condition.name: condition.dropout for condition in self.conditions if condition.name in values}
        return Batch(join([example.tokens for example in examples], length), Conditions(values, null, rates))

    def decode(
        self,
        tokens: Tokens,
        conditions: Sequence[Mapping[str, Any]] | None = None,
        likes: Sequence[np.ndarray[Any, Any] | None] | None = None,
    ) -> list[np.ndarray[Any, Any]]:
        """Native arrays of the samples of a batch.

        Args:
            tokens: of the samples.
            conditions: of each of them, whose start, or what else they lend, completes what the normaliser leaves out;
                None leaves it out.
            likes: native arrays that complete it in their place; None where there is none.
        """
        singles = unbatch(tokens.to("cpu"))
        arrays = [self.tokenizer.decode(single).detach().float().numpy() for single in singles]
        told = [{}] * len(arrays) if conditions is None else conditions
        given = [None] * len(arrays) if likes is None else likes
        return [
            native(self.normaliser, self.conditions, array, condition, like)
            for array, condition, like in zip(arrays, told, given, strict=True)
        ]


def _fitted(condition: Condition, training: Examples) -> Condition:
    """A condition that has seen its training values, in which it names the first that does not fit."""
    reached = [-1]

    def values() -> Iterator[Any]:
        for reached[0] in range(len(training)):
            yield condition_of(training, reached[0]).get(condition.name)
        reached[0] = -1
        yield from (each.condition[condition.name] for each in further(training) if condition.name in each.condition)

    try:
        return condition.fit(values())
    except UserError as error:
        where = f"train {name_of(training, reached[0])}: " if reached[0] >= 0 else ""
        raise UserError(f"{where}{error}") from None
