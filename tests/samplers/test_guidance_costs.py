"""What guidance asks of the network, and what intervals, rescaling, weak models and own scales do to a prediction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest
import torch
from torch import Tensor

from beeline.core.batching import collate, pack, unbatch
from beeline.core.conditions import Conditions
from beeline.core.prediction import Prediction
from beeline.core.protocols import Predictor, Process
from beeline.core.random import Key
from beeline.core.tokens import Layout, Tokens
from beeline.process.linear import Linear
from beeline.process.vp import VariancePreserving
from beeline.samplers.dopri5 import DormandPrince
from beeline.samplers.euler import Euler
from beeline.samplers.grids import build_grid
from beeline.samplers.guidance import Guided
from beeline.samplers.heun import Heun
from beeline.samplers.solve import Watched, sample


@dataclass
class Waves:
    """Some function of every number, another without the condition; junk where there is no data. Counts its calls."""

    process: Process = field(default_factory=Linear)
    kind: str = "velocity"
    calls: list[int] = field(default_factory=list)

    def __call__(self, x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
        self.calls.append(x_t.samples)
        null, time = x_t.expand(conditions.null["label"]), x_t.expand(t)
        label = x_t.expand(conditions.values["label"])
        y = torch.where(null, torch.cos(2 * x_t.values + time), torch.sin(3 * x_t.values + time + label))
        y = y + x_t.expand(conditions.values["law"]) * torch.cos(x_t.values)
        y = self.process.convert(y, x_t, t, "velocity", self.kind)
        return Prediction(
            self.process, x_t, t, y if x_t.keep is None else torch.where(x_t.keep[..., None], y, 99.0), self.kind
        )


def labels(count: int) -> Conditions:
    """A condition that may be absent and one that is always there."""
    number, no = torch.arange(count), torch.zeros(count, dtype=torch.bool)
    return Conditions({"label": number % 3, "law": 0.2 * number}, {"label": no, "law": no}, {"label": 0.1})


def noisy(count: int, tokens: int = 3, channels: int = 2) -> Tokens:
    generator = torch.Generator().manual_seed(1)
    return Tokens(torch.randn(count, tokens, channels, generator=generator, dtype=torch.float64))


def at(*times: float) -> Tensor:
    return torch.tensor(times, dtype=torch.float64)


def unconditional(predictor: Predictor) -> Predictor:
    return lambda x_t, t, conditions: predictor(x_t, t, conditions.absent())


def test_a_step_outside_the_interval_costs_one_pass_and_within_it_two() -> None:
    waves = Waves()
    guided = Guided(waves, 3.0, interval=(0.25, 0.75))
    x, nodes = noisy(2), build_grid("uniform", 10, (0.0, 1.0))
    state = sample(Euler(), guided, x, nodes, labels(2), Key.range(0, 0, 2))
    assert waves.calls == [2, 2, 2, 4, 4, 4, 4, 4, 2, 2]
    assert torch.as_tensor(state.passes).tolist() == 15
    assert sample(Heun(), Guided(Waves(), 1.0), x, nodes, labels(2), Key.range(0, 0, 2)).passes == 20, "1 is off"


def test_the_ends_of_the_interval_belong_to_it() -> None:
    for t, rows in ((0.25, 2), (0.75, 2), (0.2499, 1), (0.7501, 1)):
        waves = Waves()
        prediction = Guided(waves, 3.0, interval=(0.25, 0.75))(noisy(1), at(t), labels(1))
        assert waves.calls == [rows]
        assert prediction.passes == rows
        alone = Waves()(noisy(1), at(t), labels(1)).output
        assert torch.equal(prediction.output, alone) == (rows == 1)


@pytest.mark.parametrize("weak", [False, True])
def test_only_samples_whose_scale_is_not_one_are_evaluated_twice(weak: bool) -> None:
    """By their scales and by their times, in one batch; a weak model is asked about them alone."""
    waves, other = Waves(), Waves(kind="noise")
    x, t = noisy(5), at(0.5, 0.5, 0.5, 0.9, 0.3)
    scales = torch.tensor([1.0, 2.0, 4.0, 3.0, 0.0])
    guided = Guided(waves, scales, interval=(0.25, 0.75), weak=unconditional(other) if weak else None)
    prediction = guided(x, t, labels(5))
    assert (waves.calls, other.calls) == (([5], [3]) if weak else ([8], []))
    assert torch.as_tensor(prediction.passes).tolist() == [1, 2, 2, 1, 2]
    for item, scale in enumerate((1.0, 2.0, 4.0, 1.0, 0.0)):
        row = torch.tensor([item])
        alone = Guided(Waves(), scale)(x.rows(row), t[row], labels(5).rows(row))
        torch.testing.assert_close(prediction.output[row], alone.output)


def test_a_weak_model_that_lacks_the_condition_is_classifier_free_guidance() -> None:
    x, t = noisy(4), at(0.1, 0.4, 0.7, 1.0)
    expected = Guided(Waves(), 2.5)(x, t, labels(4))
    found = Guided(Waves(), 2.5, weak=unconditional(Waves()))(x, t, labels(4))
    assert torch.equal(found.output, expected.output)
    assert found.passes == expected.passes == 2


def test_a_weak_model_may_predict_something_else_and_read_another_time() -> None:
    x, t = noisy(4), at(0.1, 0.4, 0.7, 0.9)
    expected = Guided(Waves(), 2.5, weak=unconditional(Waves()))(x, t, labels(4)).velocity
    for kind in ("noise", "data", "v"):
        other = unconditional(Waves(Linear("1 - t"), kind))
        torch.testing.assert_close(Guided(Waves(), 2.5, weak=other)(x, t, labels(4)).velocity, expected)
        torch.testing.assert_close(
            Guided(Waves(kind=kind), 2.5, weak=unconditional(Waves()))(x, t, labels(4)).velocity, expected
        )


def test_led_away_from_itself_a_model_stays_what_it_is() -> None:
    x, t = noisy(3), at(0.2, 0.5, 0.8)
    alone = Waves()(x, t, labels(3)).output
    for scale in (0.0, 2.0, 7.5):
        assert torch.equal(Guided(Waves(), scale, weak=Waves())(x, t, labels(3)).output, alone)


@pytest.mark.parametrize("share", [0.4, 1.0])
def test_rescaling_is_that_of_the_paper_where_the_network_predicts_v(share: float) -> None:
    """Lin et al. 2024, equations 14 to 16, with the standard deviations of torch."""
    x, t = noisy(3), at(0.2, 0.5, 0.8)
    waves = Waves(VariancePreserving(), "v")
    strong, weak = waves(x, t, labels(3)).output, waves(x, t, labels(3).absent()).output
    pushed = weak + 4.0 * (strong - weak)
    factor = strong.std(dim=(1, 2), keepdim=True) / pushed.std(dim=(1, 2), keepdim=True)
    expected = share * pushed * factor + (1 - share) * pushed
    torch.testing.assert_close(Guided(waves, 4.0, rescale=share)(x, t, labels(3)).output, expected)


@pytest.mark.parametrize("process", [Linear(), VariancePreserving()])
def test_rescaling_means_the_same_in_every_prediction(process: Process) -> None:
    x, t = noisy(3), at(0.2, 0.5, 0.8)
    expected = Guided(Waves(process), 4.0, rescale=0.7)(x, t, labels(3)).velocity
    for kind in ("noise", "data", "score", "v", "edm"):
        torch.testing.assert_close(Guided(Waves(process, kind), 4.0, rescale=0.7)(x, t, labels(3)).velocity, expected)


def test_rescaling_reckons_with_guided_numbers_and_leaves_the_others_to_the_condition() -> None:
    """As if the guided channels were all there is."""
    x, t = noisy(3, channels=4), at(0.2, 0.5, 0.8)
    guided = torch.tensor([True, True, False, True]).view(1, 1, 4)
    found = Guided(Waves(), 4.0, guided, rescale=0.7)(x, t, labels(3)).output
    few = x.with_values(x.values[..., [0, 1, 3]])
    assert torch.equal(found[..., 2], Waves()(x, t, labels(3)).output[..., 2])
    torch.testing.assert_close(found[..., [0, 1, 3]], Guided(Waves(), 4.0, rescale=0.7)(few, t, labels(3)).output)


def test_samples_without_spread_are_not_rescaled() -> None:
    def flat(x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
        output = torch.where(x_t.expand(conditions.null["label"]), 1.0, 2.0).expand_as(x_t.values)
        return Prediction(Linear(), x_t, t, output, "v")

    assert Guided(flat, 3.0, rescale=1.0)(noisy(2), at(0.5, 0.5), labels(2)).output.unique().item() == 4.0


@pytest.mark.parametrize("guided", [None, torch.tensor([True, False]).view(1, 1, 2)])
@pytest.mark.parametrize("join", [collate, pack])
def test_padding_and_packing_change_no_token(join: Callable[[Sequence[Tokens]], Tokens], guided: Tensor | None) -> None:
    """Scales of 1 among them: packed samples share rows, so that there all are evaluated twice."""
    lengths, scales, t = (5, 2, 3), torch.tensor([4.0, 1.0, 2.0]), at(0.3, 0.6, 0.9)
    singles = [replace(noisy(1, length), layout=(Layout((length,), (length,)),)) for length in lengths]
    together = join(singles)
    waves = Waves()
    found = Guided(waves, scales, guided, rescale=0.7)(together, t, labels(3))
    assert waves.calls == [5 if join is collate else 6]
    for item, (single, one) in enumerate(zip(singles, unbatch(together.with_values(found.output)), strict=True)):
        row = torch.tensor([item])
        alone = Guided(Waves(), scales[item].item(), guided, rescale=0.7)(single, t[row], labels(3).rows(row))
        torch.testing.assert_close(one.values, alone.output)
        assert torch.equal(one.values, alone.output) or scales[item] != 1, "1 is the conditional prediction itself"


@pytest.mark.parametrize("weak", [None, Waves()])
def test_samples_that_choose_their_own_steps_keep_their_own_guidance(weak: Waves | None) -> None:
    """Those that have arrived are asked no more: the others still have their own scales and their own numbers."""
    x, scales = noisy(4), torch.tensor([1.0, 5.0, 2.0, 0.0])
    chosen = torch.rand(4, 3, 2, generator=torch.Generator().manual_seed(2)) < 0.7
    nodes, solver = build_grid("uniform", 2, (0.0, 1.0)), DormandPrince(1e-4, 1e-4)
    guided = Guided(Waves(), scales, chosen, interval=(0.2, 0.7), weak=weak)
    seen: list[int] = []
    watched = Watched(guided, lambda prediction: seen.append(prediction.x_t.samples))
    found = sample(solver, watched, x, nodes, labels(4), Key.range(0, 0, 4))
    assert min(seen) < 4, "they do not arrive together"
    for item, scale in enumerate(scales.tolist()):
        row = torch.tensor([item])
        alone = Guided(Waves(), scale, chosen[row], interval=(0.2, 0.7), weak=weak)
        end = sample(solver, alone, x.rows(row), nodes, labels(4).rows(row), Key.range(0, item, 1))
        torch.testing.assert_close(found.x.values[row], end.x.values)
        assert torch.as_tensor(found.passes)[item] == torch.as_tensor(end.passes)


def test_wrappers_compose() -> None:
    """Each of two models guided by its own absent condition, then one led away from the other: four passes."""
    x, t = noisy(2), at(0.4, 0.7)
    inner, outer = Guided(Waves(), 2.0), Guided(Waves(), 3.0)
    prediction = Guided(inner, torch.tensor([1.5, 1.0]), weak=outer)(x, t, labels(2))
    c, w = inner(x, t, labels(2)).output, outer(x, t, labels(2)).output
    torch.testing.assert_close(prediction.output[0], (w + 1.5 * (c - w))[0])
    assert torch.equal(prediction.output[1], c[1])
    assert torch.as_tensor(prediction.passes).tolist() == [4, 2]
    own = Guided(Waves(), torch.tensor([3.0, 0.5]))
    second = Guided(Waves(), torch.tensor([1.0, 2.0]), weak=own)(x, t, labels(2)).output[1]
    row = torch.tensor([1])
    alone = Guided(Waves(), 2.0, weak=Guided(Waves(), 0.5))(x.rows(row), t[row], labels(2).rows(row)).output[0]
    torch.testing.assert_close(second, alone)


def test_some_samples_of_guided_models_keep_the_scales_of_both() -> None:
    x, t, index = noisy(4), at(0.3, 0.5, 0.6, 0.8), torch.tensor([3, 1])
    strong = Guided(Waves(), torch.tensor([1.0, 5.0, 2.0, 0.0]))
    guided = Guided(strong, 3.0, weak=Guided(Waves(), torch.tensor([2.0, 0.5, 1.0, 4.0])))
    some = guided.of_rows(index)(x.rows(index), t[index], labels(4).rows(index))
    torch.testing.assert_close(some.output, guided(x, t, labels(4)).output[index])
