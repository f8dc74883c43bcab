"""What parts may offer beyond their Protocols: varied examples, choices after a look at the data, names, units."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

from beeline.core.data import Example, Examples, Expression, Geometry
from beeline.core.protocols import Array


@runtime_checkable
class Augmentation(Protocol):
    """Finitely many ways to rearrange the cells of a training example; way 0 leaves it as it is.

    Attributes:
        ways: how many there are.
        condition: name of the condition that tells the network which one it sees, so that samples, which are asked
            for without one, do not show them; None where they are wanted in samples too.
    """

    @property
    def ways(self) -> int:
        """How many."""
        ...

    @property
    def condition(self) -> str | None:
        """Name of the condition that tells."""
        ...

    def rearrange(self, array: Array, way: int) -> Array:
        """A native array (extent per axis ..., channels) rearranged in that way: no new numbers."""
        ...

    def label(self, way: int) -> Any:
        """The value of ``condition`` that stands for a way."""
        ...


@runtime_checkable
class Augmented(Protocol):
    """A modality whose training examples are varied."""

    def augmentation(self) -> Augmentation | None:
        """How; None for not at all."""
        ...


@runtime_checkable
class Identified(Protocol):
    """Examples read from files, which tell whether these hold what they held when a run began."""

    def identity(self) -> str:
        """A hash of what the files hold, quickly made; other files, or other numbers in them, have another."""
        ...


@runtime_checkable
class Populated(Protocol):
    """A modality whose paths can begin at other data in the place of noise, as at control cells."""

    def population(self) -> Examples:
        """The members, all of one form; their conditions are not looked at."""
        ...


@runtime_checkable
class NamedChoices(Protocol):
    """A condition whose choices have names.

    Attributes:
        names: of its choices, in order; empty where they have none.
    """

    @property
    def names(self) -> Sequence[str]:
        """Names of the choices."""
        ...


@runtime_checkable
class Taking(Protocol):
    """A condition that also takes values in other forms, such as labelled arrays and files."""

    def taken(self, value: Any) -> Any:
        """The value in the form that ``encode`` takes; one that is in no other form as it is.

        Raises:
            UserError: it does not fit what was trained on.
        """
        ...


@runtime_checkable
class Remarking(Protocol):
    """A condition that takes values which people should be told about all the same."""

    def remarks(self, values: Iterable[Any]) -> Sequence[str]:
        """What is unusual about values that it takes, a line each.

        Args:
            values: of all samples that are asked for, None where it is absent.
        """
        ...


@runtime_checkable
class Blending(Protocol):
    """A condition whose values go over into one another."""

    def between(self, first: Any, last: Any, share: float) -> Any:
        """A value on the way from one to another.

        Args:
            first: at share 0.
            last: at share 1.
            share: 0 to 1.
        """
        ...


@runtime_checkable
class Settling(Protocol):
    """A modality with options that are best chosen after a look at the data."""

    def settle(self, tokens: int) -> tuple[Self, Sequence[str]]:
        """The same modality with nothing left to choose, and what was chosen and why, a line each.

        Args:
            tokens: how many tokens a sample the machine and the budget can afford, about.
        """
        ...


@runtime_checkable
class Decoding(Protocol):
    """A modality whose native arrays stand for something else that people look at, as latents stand for images."""

    def decoded(self, samples: Examples, device: str = "auto", batch_size: int | None = None) -> Examples | None:
        """What samples are to people, with the same conditions; None where nothing decodes them.

        Args:
            samples: native ones.
            device: where to compute: cpu, cuda or auto.
            batch_size: samples at a time; as many as memory can be trusted with when None.
        """
        ...

    def decoder(self) -> Mapping[str, Any]:
        """What decodes, for provenance; empty where nothing does."""
        ...


@runtime_checkable
class Affine(Protocol):
    """A normaliser that only shifts and scales, so that densities can be told in native units.

    Of whole numbers the native unit is one level: the step from a level to the next is ``unit`` in normalised numbers.
    """

    def unit(self) -> Array:
        """() or (channels,) what one native unit is after normalising, for all channels (the last axis) or for each."""
        ...


@runtime_checkable
class Mixing(Protocol):
    """A normaliser whose every number depends on many cells, so that no part of an array can be held as it is."""

    def mixing(self) -> str:
        """What it does to fields, for messages."""
        ...


@runtime_checkable
class Completing(Protocol):
    """A normaliser that leaves out part of an array, and can take that part from another one."""

    def undo_beside(self, array: Array, like: Array) -> Array:
        """``undo``, and what it lacks as ``like`` has it: of ``apply(like)`` it is ``like`` itself.

        Args:
            array: normalised.
            like: native, such as the sample that a path started from; or several of them, stacked along a new first
                axis, of which an array takes the first, and row i of a set that of number i modulo their number.
        """
        ...


@runtime_checkable
class Baselined(Protocol):
    """A modality with cheap answers of its own kind, which stand in the place of a model's samples.

    Its held-out examples are of conditions that training examples do not answer, so that what can be reached at best
    is told by halves of them.
    """

    def baselines(self, training: Examples, asked: Sequence[Example], seed: int) -> Mapping[str, Sequence[Example]]:
        """Answers by the name of the baseline, one for each sample asked for, in its conditions.

        Args:
            training: real examples.
            asked: samples, whose conditions are answered; their arrays are not to be looked at.
            seed: draws for sample i depend on (seed, i) alone.
        """
        ...


@runtime_checkable
class Gridded(Protocol):
    """A modality of physical fields, which are evaluated in their units: several draws for each held-out input."""

    def geometry(self) -> Geometry:
        """Quantities, units and the grid."""
        ...


@runtime_checkable
class Expressed(Protocol):
    """A modality of cells, whose evaluation shows genes, populations and what perturbations do to them."""

    def expression(self) -> Expression:
        """Genes, and how cells are told apart."""
        ...


@runtime_checkable
class Carded(Protocol):
    """A modality that can say what its data are, for people: kept with the model, shown by ``inspect`` and reports."""

    def card(self) -> dict[str, Any]:
        """Facts, dicts of facts, and lists of them under ``notes``, as JSON holds them."""
        ...


@runtime_checkable
class Native(Protocol):
    """A modality whose samples are also written as files that people of its field open.

    Attributes:
        endings: of those files, such as ``.nc``.
    """

    @property
    def endings(self) -> Sequence[str]:
        """Endings of the files."""
        ...

    def files(self, samples: Examples, provenance: Mapping[str, Any]) -> Mapping[str, bytes]:
        """Contents of each file, by its ending.

        Args:
            samples: native ones, with the conditions that were asked for.
            provenance: where they come from.

        Raises:
            UserError: samples of several forms cannot be in one file.
        """
        ...


@runtime_checkable
class Bringing(Native, Protocol):
    """A modality that also reads samples of its kind which people bring in files of its endings."""

    def brought(self, path: Path) -> Sequence[Example]:
        """The samples of a file, with those of their conditions that the file tells.

        Args:
            path: of a file whose ending is one of ``endings``.

        Raises:
            UserError: it is not of the kind of the training data.
        """
        ...


@runtime_checkable
class Bounded(Native, Protocol):
    """A modality whose files hold no more than so much."""

    def check_files(self, samples: Examples) -> None:
        """Refuse samples that no file will hold, before they are drawn.

        Args:
            samples: as they will be, without their numbers: arrays of the right shape and dtype, conditions.

        Raises:
            UserError: saying how much they are and how much a file holds.
        """
        ...
