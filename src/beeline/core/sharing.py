"""What parts may offer where samples are sets, are seen in part, or take from samples or models that others have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, Self, runtime_checkable

from torch import Tensor

from beeline.core.data import Example, Examples
from beeline.core.protocols import Array, Condition


@runtime_checkable
class Lending(Protocol):
    """A condition whose values are other samples, from which a sample takes what its normaliser leaves out."""

    def lent(self, value: Any) -> Array | None:
        """What ``Completing.undo_beside`` takes from: one native array, or several along a new first axis.

        Args:
            value: of the condition; for None, what stands in for it, or None.
        """
        ...


@runtime_checkable
class Referring(Protocol):
    """A condition that the network knows through another one alone, so that it says nothing where that is left out."""

    @property
    def through(self) -> str:
        """Name of the other; empty for none."""
        ...


@runtime_checkable
class Relative(Protocol):
    """A normaliser whose numbers can be told relative to others of their kind that a condition lends."""

    def relative(self, array: Array, like: Array) -> Array:
        """Normalised numbers about others.

        Args:
            array: normalised.
            like: native, as lent.
        """
        ...

    def absolute(self, array: Array, like: Array) -> Array:
        """Undo ``relative``."""
        ...


@runtime_checkable
class Kindred(Protocol):
    """A tokenizer that may know which of its identities go together, so that a network begins with that."""

    def kinship(self) -> Tensor | None:
        """(identities, K) numbers of about unit size, alike where identities are; None where nothing is known."""
        ...


@runtime_checkable
class Sharing(Protocol):
    """A condition one value of which, given for all samples, is shared out among them."""

    def shared(self, value: Any, n: int) -> Sequence[Any]:
        """A value for each of n samples; that of sample i depends on i and the value alone."""
        ...


@runtime_checkable
class Divided(Protocol):
    """A modality whose samples are measured as the things that they are sets of, or with other conditions beside them.

    Samples of several modalities can so be compared, whatever each holds.
    """

    def things(self, split: str) -> Examples | None:
        """What the samples of a split are made of, each once; None where samples are measured as they are."""
        ...

    def divided(self, samples: Examples) -> list[Example]:
        """The things that samples are made of, sample by sample, with their conditions as ``things`` has them."""
        ...


@runtime_checkable
class Thinned(Protocol):
    """A modality of whose training samples some tokens are seen at a time, drawn anew each time."""

    def tokens_seen(self) -> int | None:
        """How many of each; None for all."""
        ...


@runtime_checkable
class Recalling(Protocol):
    """A modality that takes from a trained model what it had from files which may be gone since."""

    def recalling(self, conditions: Sequence[Condition]) -> Self:
        """The same modality, which asks these and no file for what they know.

        Args:
            conditions: of the model, fitted.
        """
        ...
