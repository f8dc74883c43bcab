"""The seams. Everything that can be exchanged in Beeline meets one of these Protocols.

A modality turns a sample into tokens and back; everything between is modality-free:

    sample --normalise--> array --tokenise--> Tokens --process / objective / network / sampler--> Tokens --> ... sample

Time runs from t = 0 (data) to t = 1 (noise), with x_t = alpha(t) x0 + sigma(t) e.
Normalisers, tokenizers and conditions are frozen dataclasses: ``fit`` returns one whose fields hold what was measured,
and those fields travel with the model (``parts.py``).
Shapes: B rows, L tokens a row, C numbers a token, N samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, runtime_checkable

import numpy as np
from torch import Tensor, nn

from beeline.core.conditions import Conditions
from beeline.core.context import Context
from beeline.core.data import Batch, Examples, Metric
from beeline.core.prediction import Prediction
from beeline.core.random import Key
from beeline.core.state import SamplerState
from beeline.core.tokens import Tokens

if TYPE_CHECKING:
    from PIL.Image import Image

Array = np.ndarray[Any, Any]


@runtime_checkable
class Normaliser(Protocol):
    """Brings native arrays to zero mean and unit scale, roughly, and back."""

    def fit(self, arrays: Iterable[Array]) -> Self:
        """Measure what is needed on the training arrays, one at a time; they may be gone through again."""

    def apply(self, array: Array) -> Array:
        """Native array to float32."""

    def undo(self, array: Array) -> Array:
        """Float array to native units and dtype."""


@runtime_checkable
class Tokenizer(Protocol):
    """Turns one normalised array into tokens and back.

    Attributes:
        width: numbers a token, C.
        axes: coordinates a token, P; 0 for sets.
        identities: number of token identities; 0 when tokens have none.
        exact: whether decode(encode(x)) equals x to the last bit.
    """

    @property
    def width(self) -> int: ...
    @property
    def axes(self) -> int: ...
    @property
    def identities(self) -> int: ...
    @property
    def exact(self) -> bool: ...

    def fit(self, arrays: Iterable[Array]) -> Self:
        """Measure what is needed on the normalised training arrays; most need nothing."""

    def encode(self, array: Tensor) -> Tokens:
        """One array to Tokens with B = 1."""

    def decode(self, tokens: Tokens) -> Tensor:
        """Undo ``encode``."""

    def lift(self, array: Tensor, like: Tokens | None = None) -> Tensor:
        """Arrange something aligned with the data (a mask, a map) as ``encode`` arranges the data: (1, L, K).

        With ``like`` it is fitted to that sample: axes of length 1 are repeated, absent identities left out.
        """

    def lift_width(self, channels: int) -> int:
        """Numbers a token, K, of a lifted array with that many channels."""

    def form(self, array: Tensor) -> tuple[int, ...]:
        """All that ``blank`` needs to make tokens of the same form: a grid's extents, a set's identities."""

    def blank(self, form: tuple[int, ...]) -> Tokens:
        """Tokens of that form (B = 1) whose values are zero: the frame in which a sample is generated."""


Route = Literal["global", "concat", "cross", "start"]


@runtime_checkable
class Condition(Protocol):
    """A named input of the network.

    Attributes:
        name: key in ``Example.condition``.
        route: ``global``: one vector a sample, added to the time embedding; ``concat``: aligned with the data,
            appended to the numbers of each token; ``cross``: tokens of its own, attended to by those of the data;
            ``start``: another sample of the same kind, at which the path ends and sampling begins; the network sees it
            through x_t alone.
        dropout: probability with which training replaces it by its null.
        has_null: whether it may be absent.
        choices: every value it can take, or None when there is no end of them.
        channels: numbers of a value: of a vector, or of each cell of a map.
    """

    @property
    def name(self) -> str: ...
    @property
    def route(self) -> Route: ...
    @property
    def dropout(self) -> float: ...
    @property
    def has_null(self) -> bool: ...
    @property
    def choices(self) -> Sequence[Any] | None: ...
    @property
    def channels(self) -> int: ...

    def fit(self, values: Iterable[Any]) -> Self:
        """Measure what is needed on the training values, one at a time; None where it is absent."""

    def encode(self, value: Any) -> Tensor:
        """One value as a tensor; ``None`` gives the filler whose place the null takes (of a map: one cell).

        Raises:
            UserError: the value is not one that this condition can take.
        """

    def parse(self, text: str) -> Any:
        """A value as written on the command line."""

    def embedder(self, hidden_size: int, tokenizer: Tokenizer) -> nn.Module:
        """Module that takes (encoded batch, null mask) to the vector or the token features of the route.

        Of route ``cross`` to a Context of hidden size and, in place of an absent one, a vector; of route ``start``
        never asked for.
        """


@runtime_checkable
class Attended(Condition, Protocol):
    """A condition of route ``cross``."""

    def context(self, encoded: Tensor, tokens: Tokens, tokenizer: Tokenizer) -> Context:
        """What a sample may look at, N = 1, in the coordinates of its tokens.

        Args:
            encoded: what ``encode`` gave.
            tokens: of the sample, B = 1.
            tokenizer: that made them.

        Raises:
            UserError: the value does not fit the sample.
        """


class Source(Protocol):
    """Where e comes from: every draw of it, in objectives, at the start of sampling and in stochastic steps."""

    def sample(self, like: Tokens, key: Key) -> Tensor:
        """Noise of the shape of ``like.values``; the draws of a sample depend on its key alone."""


class Process(Protocol):
    """A path between data and noise, x_t = alpha(t) x0 + sigma(t) e + m(t), and the algebra of predictions along it.

    The offset m is zero save on bridges, where it leads to a known end.
    """

    @property
    def t_min(self) -> float: ...
    @property
    def t_max(self) -> float: ...
    @property
    def levels(self) -> int:
        """Number of noise levels of a discrete process, at t = 1/levels, 2/levels, ... 1; 0 of a continuous one."""

    @property
    def is_gaussian(self) -> bool:
        """Whether e is Gaussian noise; with draws from a population, score, SDEs and likelihood mean nothing."""

    def alpha(self, t: Tensor) -> Tensor:
        """Share of data at time t."""

    def sigma(self, t: Tensor) -> Tensor:
        """Share of noise at time t."""

    def alpha_derivative(self, t: Tensor) -> Tensor:
        """d alpha / dt."""

    def sigma_derivative(self, t: Tensor) -> Tensor:
        """d sigma / dt."""

    @property
    def time_input_name(self) -> str:
        """The time input in words, as models store it."""

    def time_input(self, t: Tensor) -> Tensor:
        """What the network's time embedding sees at time t."""

    def input_scale(self, t: Tensor) -> Tensor | None:
        """Factor on x_t at the entrance of the network; None where it sees x_t as it is."""

    @property
    def is_regression(self) -> bool:
        """Whether there is no path to walk, and one pass of the network is the answer."""

    @property
    def known_end(self) -> str | None:
        """Name of the condition that a bridge ends at; None on other paths."""

    def placed(self, tokens: Tokens, conditions: Conditions) -> Tokens:
        """Tokens that know what the path needs of their conditions: the end of a bridge; elsewhere the same tokens."""

    def interval(self, prediction: str) -> tuple[float, float]:
        """[t_min, t_max] on which that prediction determines x0 and e."""

    def solver_interval(self, prediction: str) -> tuple[float, float]:
        """The part of ``interval`` along which solvers walk: all of it on continuous paths."""

    def coefficients(self, t: Tensor, prediction: str) -> tuple[Tensor, Tensor]:
        """(a, b) of y = a x0 + b e."""

    def prior(self, like: Tokens, source: Source, key: Key, t: float) -> Tokens:
        """Where sampling starts: the marginal of the noise at t."""

    def mix(self, x0: Tokens, e: Tensor, t: Tensor) -> Tokens:
        """x_t = alpha x0 + sigma e."""

    def target(self, x0: Tokens, e: Tensor, t: Tensor, prediction: str) -> Tensor:
        """y = a x0 + b e, what a prediction of that kind should be."""

    def convert(self, y: Tensor, x_t: Tokens, t: Tensor, source: str, target: str) -> Tensor:
        """Rewrite a prediction of one kind as another."""


class Predictor(Protocol):
    """Says what is expected at a noisy sample. Samplers and guidance see this, never a network."""

    def __call__(self, x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction: ...


class Objective(Protocol):
    """What training minimises.

    Attributes:
        prediction: what the network is asked to predict.
        outputs: numbers that the network gives for each number of a token: 1, or 2 with a learned variance.
        learned: what it has to learn beside the network, which trains and is saved with it; None for nothing.
    """

    @property
    def prediction(self) -> str: ...
    @property
    def outputs(self) -> int: ...
    @property
    def learned(self) -> nn.Module | None: ...

    def times(self, key: Key) -> Tensor:
        """(N,) the times that ``__call__`` draws for these samples."""

    def __call__(self, predictor: Predictor, batch: Batch, key: Key) -> Tensor:
        """(N,) one loss a sample; every draw is named by the key."""


class Sampler(Protocol):
    """Walks from noise to data along a descending grid of times; sees a Predictor, never a network."""

    def initialise(self, x: Tokens, times: Tensor) -> SamplerState:
        """The state at ``times[0]``."""

    def step(self, state: SamplerState, predictor: Predictor, conditions: Conditions, key: Key) -> SamplerState:
        """The state one node further down the grid."""

    def finish(self, state: SamplerState, predictor: Predictor, conditions: Conditions) -> SamplerState:
        """The state at t = 0, where the grid stops short of it."""


class Probe(Protocol):
    """Something measured beside training, which must not touch its random streams.

    Attributes:
        every: steps between measurements, at least; it is taken at lines of the log.
    """

    @property
    def every(self) -> int: ...

    def __call__(self, step: int, predictor: Predictor) -> Mapping[str, Any]:
        """What to add to the line of the log."""


@runtime_checkable
class Modality(Protocol):
    """A kind of data. One file that ends with ``MODALITY = ...`` is all it takes to add one."""

    def dataset(self, split: str) -> Examples:
        """The examples of ``"train"`` or ``"held_out"``."""

    def normaliser(self) -> Normaliser: ...

    def tokenizer(self) -> Tokenizer: ...

    def conditions(self) -> Sequence[Condition]: ...

    def metrics(self) -> Sequence[Metric]: ...

    def preview(self, samples: Examples) -> Image:
        """One picture of some samples, as people of the field would look at them."""
