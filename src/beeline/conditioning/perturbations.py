"""Perturbations that come as sets: none, one, several at once, and combinations that training never had.

A set is told as slots, in the order of the known names, so that all ways to write it are one:

    (place + 1, (log dose - mean) / deviation)        (0, 0) in slots that are left over

A name is known by its identity, learned from training values that hold it, by features that are given, or by both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from beeline.conditioning.named_sets import feature_table, read_set, some_of, standardised
from beeline.conditioning.pooled import SetEmbedding
from beeline.core.errors import UserError, unknown
from beeline.core.protocols import Route, Tokenizer

# Members that a set may have where training had fewer, so that larger sets can be asked for.
_SLOTS = 8
# Share of a dose by which it may lie outside of the trained range before anybody is told.
_MARGIN = 0.01


@dataclass(frozen=True)
class Perturbations:
    """A set of named perturbations, pooled to one vector in which their order means nothing.

    A value is a sequence of names, a mapping from name to dose, or text such as A, A+B or A=0.5+B=2. (), "" and the
    control word are the empty set; a control word beside names means nothing, as in A+control. None is unknown.

    Args:
        name: key in ``Example.condition``.
        known: names in order; those of the training values when empty. Names beyond those need features.
        features: a row of numbers for each known name, empty or NaN where there are none; standardised by the trained
            names, once fitted.
        identity: whether each trained name has a learned vector; where False, features alone speak, so that a name
            which training never had is answered as well as its features allow.
        doses: whether each perturbation of a value has a dose above 0, whose logarithm is told.
        control: word for the empty set.
        dropout: share of training samples that see the null; 0 leaves the null out.
        seen: distinct sets of the training values as places among ``known``, once fitted.
        low: least training dose of each known name, once fitted; 0 where it had none.
        high: largest training dose of each, once fitted.
        log_mean: mean of the logarithm of training doses, once fitted.
        log_deviation: their standard deviation, once fitted.
    """

    name: str
    known: tuple[str, ...] = ()
    features: tuple[tuple[float, ...], ...] = ()
    identity: bool = True
    doses: bool = False
    control: str = "control"
    dropout: float = 0.1
    seen: tuple[tuple[int, ...], ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    log_mean: float = 0.0
    log_deviation: float = 1.0

    route: ClassVar[Route] = "global"
    channels: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if len(set(self.known)) < len(self.known) or not 0 <= self.dropout < 1:
            raise UserError(f"condition {self.name}: need each known name once, and 0 <= dropout < 1")
        for each in self.known:
            if each in ("", self.control) or each != each.strip() or "+" in each or "=" in each:
                raise UserError(
                    f"condition {self.name}: a perturbation cannot be called '{each}': names have no '+', '=' or outer "
                    f"space, and '{self.control}' is the empty set"
                )
        if self.features and len(self.features) != len(self.known):
            raise UserError(
                f"condition {self.name}: {len(self.features)} rows of features for {len(self.known)} known names"
            )
        if len({len(row) for row in self.features if row}) > 1:
            raise UserError(f"condition {self.name}: rows of features differ in length")
        if not self.identity and not self.features:
            raise UserError(f"condition {self.name}: perturbations have neither identities nor features; give one")

    @property
    def has_null(self) -> bool:
        """Whether it may be absent: where training drops it."""
        return self.dropout > 0

    @property
    def trained(self) -> tuple[str, ...]:
        """Names that occur in training values, once fitted."""
        return self._names(sorted(self._trained))

    @cached_property
    def most(self) -> int:
        """Members of the largest training set, once fitted."""
        return max(map(len, self.seen), default=0)

    @property
    def slots(self) -> int:
        """Members that a set may have."""
        return max(_SLOTS, self.most)

    @property
    def choices(self) -> Sequence[tuple[str, ...]] | None:
        """The training sets where none has two members, the empty one first; None elsewhere and with doses."""
        if self.doses or not self.seen or self.most > 1:
            return None
        return [self._names(each) for each in sorted(self.seen)]

    @property
    def names(self) -> Sequence[str]:
        """What the choices are called."""
        return ["+".join(each) or self.control for each in self.choices or ()]

    def fit(self, values: Iterable[Any]) -> Self:
        """Take down the training sets and doses, and standardise features by the names that they hold.

        Raises:
            UserError: no value holds a perturbation, one has neither identity nor features, or features or doses do
                not vary.
        """
        sets, doses = set[frozenset[str]](), dict[str, set[float]]()
        for value in values:
            if value is None:
                continue
            members = self._members(value)
            for each, dose in members.items():
                if self.known:
                    self._place(each)
                doses.setdefault(each, set()).add(dose)
            sets.add(frozenset(members))
        if not doses:
            raise UserError(f"condition {self.name}: no training example has a perturbation; leave it out")
        plain = replace(self, known=self.known or tuple(sorted(doses)))
        seen = sorted(tuple(sorted(map(plain._place, each))) for each in sets)
        trained = sorted(map(plain._place, doses))
        rows = standardised(self.name, plain.known, self.features, trained, self.identity)
        fitted = replace(plain, features=rows, seen=tuple(seen))
        return fitted._with_doses(doses) if self.doses else fitted

    def _with_doses(self, doses: Mapping[str, set[float]]) -> Self:
        """The same with the range of each name's doses and the moments of all distinct ones."""
        logs = np.log(np.concatenate([sorted(each) for each in doses.values()]))
        if logs.max() == logs.min():
            raise UserError(
                f"condition {self.name}: the dose is {math.exp(logs.mean()):g} in every example; leave doses out"
            )
        return replace(
            self,
            low=tuple(min(doses.get(each, (0.0,))) for each in self.known),
            high=tuple(max(doses.get(each, (0.0,))) for each in self.known),
            log_mean=float(logs.mean()),
            log_deviation=float(logs.std()),
        )

    def encode(self, value: Any) -> Tensor:
        """Slots of a set in the order of the known names: (slots, 2) float32; None as empty slots.

        Raises:
            UserError: a name is unknown, or known by name alone; a dose is missing or not above 0; there are too many.
        """
        slots = torch.zeros(self.slots, 2)
        if value is None:
            return slots
        members = self._members(value)
        if len(members) > self.slots:
            raise UserError(
                f"condition {self.name}: {len(members)} perturbations at once, and this model takes at most "
                f"{self.slots}; training had at most {self.most}"
            )
        told = sorted((self._answerable(each), dose) for each, dose in members.items())
        for slot, (place, dose) in enumerate(told):
            scaled = (math.log(dose) - self.log_mean) / self.log_deviation if self.doses else 0.0
            slots[slot] = torch.tensor([place + 1.0, scaled])
        return slots

    def remarks(self, values: Iterable[Any]) -> list[str]:
        """Names, sets and doses that training never had, a line for each kind and for each name's doses.

        Args:
            values: that ``encode`` takes.
        """
        asked, trained = [self._members(value) for value in values if value is not None], self._trained
        sets = dict.fromkeys(tuple(sorted(map(self._place, each))) for each in asked)
        strange = [place for place in dict.fromkeys(place for each in sets for place in each) if place not in trained]
        new = [each for each in sets if each not in self.seen and (len(each) != 1 or each[0] in trained)]
        lines = []
        if strange:
            lines.append(f"known by features alone, without training values: {some_of(self._names(strange))}")
        if new:
            lines.append(f"no training example had {some_of([self._told(each) for each in new])}")
        if (most := max(map(len, sets), default=0)) > self.most:
            lines.append(f"{most} perturbations at once, and training had at most {self.most}")
        lines += self._dose_remarks(asked) if self.doses else []
        return [f"condition {self.name}: {line}" for line in lines]

    def _dose_remarks(self, asked: Sequence[Mapping[str, float]]) -> list[str]:
        lines = []
        for each in dict.fromkeys(name for members in asked for name in members):
            low, high = (limits[self._place(each)] for limits in (self.low, self.high))
            if not low:  # never trained: the doses of all others are what is known
                low, high = min(filter(None, self.low)), max(self.high)
            doses = [members[each] for members in asked if each in members]
            worst = max(doses, key=lambda dose: max(dose / high, low / dose))
            if max(worst / high, low / worst) > 1.0 + _MARGIN:
                trained = f"{low:g} to {high:g}" if low < high else f"{low:g} alone"
                lines.append(f"dose {worst:g} of {each} lies outside of what the model was trained on, {trained}")
        return lines

    def between(self, first: Any, last: Any, share: float) -> tuple[str, ...] | dict[str, float]:
        """The nearer of two sets; doses of names in both go over evenly on their log scale.

        Args:
            first: at share 0.
            last: at share 1.
            share: 0 to 1.
        """
        one, other = self._members(first), self._members(last)
        nearer = one if share < 0.5 else other
        if not self.doses:
            return tuple(nearer)
        both = one.keys() & other.keys()
        return {
            each: one[each] ** (1.0 - share) * other[each] ** share if each in both else dose
            for each, dose in nearer.items()
        }

    def parse(self, text: str) -> tuple[str, ...] | dict[str, float]:
        """A set as written on the command line: A, A+B, with doses A=0.5+B=2; nothing or the control word is empty.

        Raises:
            UserError: it is not written so, or ``encode`` would refuse it.
        """
        members = self._members(text)
        self.encode(members if self.doses else tuple(members))
        return members if self.doses else tuple(members)

    def embedder(self, hidden_size: int, tokenizer: Tokenizer) -> nn.Module:
        """Members pooled by attention, a vector for the empty set and one for the null where it is dropped."""
        rows = {place: row for row, place in enumerate(sorted(self._trained))} if self.identity else {}
        identities = tuple(rows.get(place, -1) for place in range(len(self.known)))
        features = torch.from_numpy(np.nan_to_num(feature_table(self.features, len(self.known))).astype(np.float32))
        return SetEmbedding(identities, features, self.doses, hidden_size, has_null=self.dropout > 0)

    def _names(self, places: Iterable[int]) -> tuple[str, ...]:
        return tuple(self.known[place] for place in places)

    def _told(self, places: Sequence[int]) -> str:
        return "+".join(self._names(places)) or self.control

    @cached_property
    def _places(self) -> Mapping[str, int]:
        return {each: place for place, each in enumerate(self.known)}

    @cached_property
    def _trained(self) -> frozenset[int]:
        return frozenset(place for each in self.seen for place in each)

    def _place(self, name: str) -> int:
        if name not in self._places:
            known = [self.control, *self.known]
            more = f"; known are {some_of(known)}" if len(known) > 1 else ""
            raise UserError(f"{unknown(self.name, name, known)}{more}")
        return self._places[name]

    def _answerable(self, name: str) -> int:
        """The place of a name of which something is known.

        Raises:
            UserError: nothing is.
        """
        place = self._place(name)
        if place not in self._trained and not (self.features and self.features[place]):
            raise UserError(
                f"condition {self.name}: '{name}' had no training values and has no features, so that nothing is known "
                "of it; train with features of it, or ask for another"
            )
        return place

    def _members(self, value: Any) -> dict[str, float]:
        """Names of a value and their doses, 1 where none are told; names are not looked up."""
        return read_set(self.name, value, self.control, self.doses)
