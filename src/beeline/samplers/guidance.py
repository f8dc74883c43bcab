"""Guidance: a prediction is pushed away from a weaker one.

    y  = u + s (c - u)                                    s = 1 is off
    y' = y (1 + phi (sd(c) / sd(y) - 1))                  rescaled, in v = alpha e - sigma x0

c is the conditional prediction. u is what the same network says without the condition (classifier-free: Ho & Salimans
2022, with their w = s - 1), or what a weaker model says under the same condition (autoguidance: Karras et al. 2024,
"Guiding a diffusion model with a bad version of itself", equation 5). Outside of an interval of times s is 1 and u is
not asked for (Kynkaanniemi et al. 2024, section 3). sd is the standard deviation over the numbers of one sample that
are data and guided (Lin et al. 2024, section 3.4, equations 14 to 16; their network predicts v).

All predictions at one (x_t, t) are affine in one another, so guiding one guides them all; scaling one does not scale
the others alike, and v is the one that can be read everywhere on every path.
Shapes: B rows, L tokens a row, C numbers a token, N samples, M of them guided.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from beeline.core.conditions import Conditions
from beeline.core.once import Once
from beeline.core.prediction import Passes, Prediction
from beeline.core.protocols import Predictor
from beeline.core.tokens import Tokens
from beeline.samplers.solve import of_rows

_Batch = tuple[Tokens, Conditions]


@dataclass(frozen=True)
class Guided:
    """A predictor that is pushed away from its own unconditional prediction, or from a weaker model's.

    The unconditional evaluations go through the network with the conditional ones, as one batch. A sample whose scale
    is 1 costs no second evaluation, unless it shares a row with others.

    Args:
        predictor: has been trained with dropped conditions where ``weak`` is None.
        scale: s, one for all samples or (N,); 1 gives the conditional prediction.
        guided: (1 or B, 1 or L, C) True for the numbers that guidance moves, None for all; the others keep the
            conditional prediction.
        interval: times from and to which, both included, samples are guided; None for all.
        rescale: phi, 0 to 1; 0 is off.
        weak: a predictor along the same path, of any kind of prediction, to be pushed away from in place of the
            unconditional prediction.
    """

    predictor: Predictor
    scale: float | Tensor
    guided: Tensor | None = None
    interval: tuple[float, float] | None = None
    rescale: float = 0.0
    weak: Predictor | None = None
    # The second evaluation's batch, the same from pass to pass but for its numbers.
    _again: Once[_Batch] = field(default_factory=lambda: Once(always=True), init=False, repr=False, compare=False)

    def __call__(self, x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
        """The guided prediction, which has cost a second pass where the scale is not 1."""
        scale = self._scales(t)
        rows = (scale != 1).nonzero()[:, 0]
        if not len(rows):
            return self.predictor(x_t, t, conditions)
        if x_t.segment is not None:
            rows = torch.arange(x_t.samples)
        ask = self._ask_once if self.weak is None else self._ask_both
        strong, weak = ask(x_t, t, conditions, rows.to(t.device))
        scale = x_t.expand(scale.to(strong.output))
        pushed = weak.output + scale * (strong.output - weak.output)
        if self.rescale:
            pushed = self._rescaled(pushed, strong)
        moved = scale != 1 if self.guided is None else self.guided & (scale != 1)
        return replace(strong, output=torch.where(moved, pushed, strong.output), passes=strong.passes + weak.passes)

    def of_rows(self, index: Tensor) -> Guided:
        """The same guidance of some of the samples, each at its own scale and in its own numbers.

        Args:
            index: (M,) int64 which.
        """
        scale, guided = self.scale, self.guided
        if isinstance(scale, Tensor) and scale.numel() > 1:
            scale = scale[index.to(scale.device)]
        if guided is not None and len(guided) > 1:
            guided = guided[index.to(guided.device)]
        weak = None if self.weak is None else of_rows(self.weak, index)
        return replace(self, predictor=of_rows(self.predictor, index), scale=scale, guided=guided, weak=weak)

    def _scales(self, t: Tensor) -> Tensor:
        """(N,) s at these times, on the CPU, where the number of rows to evaluate is decided."""
        scale = torch.as_tensor(self.scale, dtype=torch.float64, device="cpu").expand(len(t))
        if self.interval is None:
            return scale
        first, last = self.interval
        return torch.where(((t >= first) & (t <= last)).cpu(), scale, 1.0)

    def _ask_once(self, x_t: Tokens, t: Tensor, conditions: Conditions, rows: Tensor) -> tuple[Prediction, Prediction]:
        """The conditional prediction and the unconditional one of some samples, from one batch."""
        n = x_t.samples
        whole = len(rows) == n
        batch, asked = self._again.of(_given(x_t, conditions, rows), lambda: _twice(x_t, conditions, rows))
        values = torch.cat([x_t.values, x_t.values if whole else x_t.values[rows]])
        both = self.predictor(batch.with_values(values), torch.cat([t, t[rows]]), asked)
        count = x_t.values.shape[0]
        variance = None if both.variance is None else both.variance[:count]
        first, second = (both.passes, both.passes) if isinstance(both.passes, int) else both.passes.split(n)
        strong = Prediction(both.process, x_t, t, both.output[:count], both.kind, variance, first)
        return strong, _for_all(strong, both.output[count:], second, rows)

    def _ask_both(self, x_t: Tokens, t: Tensor, conditions: Conditions, rows: Tensor) -> tuple[Prediction, Prediction]:
        """The prediction and the weak one of some samples, each from its own network."""
        assert self.weak is not None
        strong = self.predictor(x_t, t, conditions)
        if len(rows) == x_t.samples:
            weak = self.weak(x_t, t, conditions)
        else:
            some, asked = self._again.of(_given(x_t, conditions, rows), lambda: _some(x_t, conditions, rows))
            weak = of_rows(self.weak, rows)(some.with_values(x_t.values[rows]), t[rows], asked)
        return strong, _for_all(strong, weak.as_kind(strong.kind), weak.passes, rows)

    def _rescaled(self, pushed: Tensor, strong: Prediction) -> Tensor:
        """A guided prediction with the spread of the conditional one, by the share ``rescale``."""
        x_t, t, kind = strong.x_t, strong.t, strong.kind
        numbers = x_t if self.guided is None else replace(x_t, cells=self.guided & _is_data(x_t))
        v = strong.process.convert(pushed, x_t, t, kind, "v")
        wanted, found = _spread(numbers, strong.as_kind("v")), _spread(numbers, v)
        ratio = torch.where(found > 0, wanted / found, 1.0)
        return strong.process.convert(x_t.expand(1 + self.rescale * (ratio - 1)) * v, x_t, t, "v", kind)


def _given(x_t: Tokens, conditions: Conditions, rows: Tensor) -> list[object]:
    """What a second evaluation's batch depends on; the rows by number where they are not all."""
    return [*x_t.places(), *conditions.given(), None if len(rows) == x_t.samples else tuple(rows.tolist())]


def _twice(x_t: Tokens, conditions: Conditions, rows: Tensor) -> _Batch:
    """Samples under their conditions, and behind them some of them again without any; their numbers are left out."""
    n, absent = x_t.samples, conditions.absent()
    if len(rows) == n:
        batch = x_t.doubled()
    else:
        batch, absent = x_t.rows(torch.cat([torch.arange(n, device=rows.device), rows])), absent.rows(rows)
    return _bare(batch), conditions.join(absent)


def _some(x_t: Tokens, conditions: Conditions, rows: Tensor) -> _Batch:
    """Some of the samples under their conditions; their numbers are left out."""
    return _bare(x_t.rows(rows)), conditions.rows(rows)


def _bare(batch: Tokens) -> Tokens:
    return batch.with_values(batch.values.new_empty(0))


def _for_all(strong: Prediction, output: Tensor, passes: Passes, rows: Tensor) -> Prediction:
    """A weak prediction of some samples as one of all, which is the strong one elsewhere and costs nothing there."""
    n = strong.x_t.samples
    if len(rows) == n:
        return replace(strong, output=output, passes=passes)
    counts = torch.zeros(n, dtype=torch.int64, device=rows.device)
    counts[rows] = torch.as_tensor(passes, device=rows.device)
    return replace(strong, output=strong.output.index_copy(0, rows, output), passes=counts)


def _is_data(x_t: Tokens) -> Tensor:
    """Which numbers are data, in a shape that goes with (B, L, C)."""
    if x_t.cells is not None:
        return x_t.cells
    return torch.ones_like(x_t.values[..., :1], dtype=torch.bool) if x_t.keep is None else x_t.keep[..., None]


def _spread(x_t: Tokens, values: Tensor) -> Tensor:
    """(N,) standard deviation of (B, L, C) over the numbers of each sample that are data."""
    deviation = values - x_t.expand(x_t.sample_mean(values))
    return x_t.sample_mean(deviation.square()).sqrt()
