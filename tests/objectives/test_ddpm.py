"""The objectives of DDPM: the recorded losses, what each trains, and the bound as a bound."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from beeline.core.batching import collate, pack
from beeline.core.conditions import Conditions
from beeline.core.data import Batch
from beeline.core.errors import UserError
from beeline.core.prediction import Prediction
from beeline.core.protocols import Predictor
from beeline.core.random import Key
from beeline.core.tokens import Layout, Tokens
from beeline.model.build import build_objective
from beeline.objectives.bound import bound_term, decoder_nll, step_log_variance
from beeline.objectives.config import ObjectiveConfig
from beeline.objectives.ddpm import DDPM
from beeline.process.build import build_process, build_source
from beeline.process.config import ProcessConfig, TimeConfig
from beeline.process.ddpm import DiscreteDDPM
from beeline.process.posterior import posterior
from beeline.process.sources import Gaussian
from beeline.samplers.mixture import MixturePredictor
from tests.peers import Analytic, assert_near, images, labels, levels_of, official_network, recording, tokens

LEARNED = ObjectiveConfig("noise", variance="learned")
OPTIONS: dict[str, tuple[str, ObjectiveConfig]] = {
    "mse": ("linear", LEARNED),
    "rescaled_mse": ("linear", replace(LEARNED, loss="hybrid", vlb_weight=1000 / 1000)),
    "kl": ("linear", replace(LEARNED, loss="vlb")),
    "cos": ("cosine", LEARNED),
    "xstart": ("linear", replace(LEARNED, prediction="data")),
    "fixed": ("linear", ObjectiveConfig("noise")),
    "fixed_small": ("linear", ObjectiveConfig("noise")),
}


@dataclass(frozen=True)
class Given:
    """Times and noise as recorded, in place of draws."""

    values: Tensor

    def sample(self, *_: Any) -> Tensor:
        return self.values


def given(objective: DDPM, level: Tensor, noise: Tensor) -> DDPM:
    objective.density = Given((level + 0.5) / objective.process.levels)  # type: ignore[assignment]
    objective.source = Given(noise)
    return objective


PAIRS = [(name, net) for name in OPTIONS for net in ("toy", "dit") if net == "toy" or not name.startswith("fixed")]


@pytest.mark.parametrize(("name", "net"), PAIRS)
def test_losses_are_the_recorded_ones(name: str, net: str, real_data: Callable[[str], Path]) -> None:
    recorded = recording(real_data("parity"), "diffusion_losses")
    schedule, config = OPTIONS[name]
    process = levels_of(schedule=schedule)
    objective = given(
        DDPM(config, process, Gaussian()), torch.from_numpy(recorded["t"]), tokens(recorded["noise"]).values
    )
    predictor: Predictor = Analytic(process, config.prediction, config.variance == "learned")
    if net == "dit":
        predictor = official_network(real_data("parity"), process, config.prediction)
    batch = Batch(tokens(recorded["x0"]), replace(labels(recorded["y"]), rates={}))
    loss = objective(predictor, batch, Key.range(0, 0, 4))
    wanted = recorded[f"loss_{name}_{net}_loss"]
    # The recorded bound alone is 4e-5 off at the noisiest level: float32 against a float64 evaluation of ours.
    tolerance = 1e-4 if name == "kl" else 1e-5
    for each in range(4):  # one by one: they differ by factors of a thousand
        assert_near(loss[each : each + 1].detach(), wanted[each : each + 1], tolerance)


@pytest.mark.parametrize("name", [name for name in OPTIONS if not name.startswith("fixed")])
def test_noisy_samples_means_and_variances_are_the_recorded_ones(name: str, real_data: Callable[[str], Path]) -> None:
    recorded = recording(real_data("parity"), "diffusion_losses")
    schedule, config = OPTIONS[name]
    process = levels_of(schedule=schedule)
    level = torch.from_numpy(recorded["t"])
    x0 = tokens(recorded["x0"])
    x_t = process.mix(x0, tokens(recorded["noise"]).values, process.time(level).float())
    assert_near(images(x_t.values, x0), recorded[f"qsample_{name}"], 1e-6)
    predicted = Analytic(process, config.prediction)(x_t, process.time(level).float(), Conditions())
    assert_near(images(predicted.x0, x0), recorded[f"pmv_{name}_pred_xstart"], 1e-5)
    small, log_variance = step_log_variance(process, predicted)
    assert_near(images(log_variance, x0), recorded[f"pmv_{name}_log_variance"], 1e-6)
    assert_near(images(small.expand_as(x0.values), x0), recorded[f"post_{name}_logvar"], 1e-6)
    factors = posterior(process, process.time(level), process.time(level - 1))
    shares = [x0.expand(each).float() for each in (factors.data, factors.noisy)]
    for data, key in ((predicted.x0, "pmv"), (x0.values, "post")):
        assert_near(images(shares[0] * data + shares[1] * x_t.values, x0), recorded[f"{key}_{name}_mean"], 1e-5)


def batch(count: int = 8, length: int = 3) -> Batch:
    values = torch.randn(count, length, 2, generator=torch.Generator().manual_seed(0))
    return Batch(Tokens(values, layout=(Layout((length,), (length,)),) * count), Conditions())


@dataclass
class Saying:
    """A predictor whose two outputs are leaves, and which remembers what it was asked."""

    process: DiscreteDDPM
    output: Tensor
    variance: Tensor | None
    kind: str = "noise"
    asked: Tensor | None = None

    def __call__(self, x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
        self.asked = t
        return Prediction(self.process, x_t, t, self.output, self.kind, self.variance)


def gradients(config: ObjectiveConfig) -> tuple[Tensor, Tensor]:
    """Of the loss, with respect to the mean output and the variance output."""
    process, data = levels_of(), batch()
    output, variance = (torch.full_like(data.tokens.values, each, requires_grad=True) for each in (0.3, 0.1))
    loss = DDPM(config, process, Gaussian())(Saying(process, output, variance), data, Key.range(0, 0, 8)).sum()
    mean, spread = torch.autograd.grad(loss, [output, variance], allow_unused=True)
    return mean, spread


def test_e20_the_bound_trains_the_variance_and_the_error_the_mean() -> None:
    """E20: two outputs; in the hybrid loss the mean is detached from the bound, in the full bound it is not."""
    plain, none = gradients(ObjectiveConfig("noise"))
    mean, spread = gradients(LEARNED)
    assert none is None
    assert DDPM(LEARNED, levels_of(), Gaussian()).outputs == 2
    assert torch.equal(mean, plain)
    assert (spread != 0).all()
    assert not torch.allclose(gradients(replace(LEARNED, loss="vlb"))[0], plain, rtol=0.1)
    torch.testing.assert_close(gradients(replace(LEARNED, vlb_weight=3.0))[1], 3.0 * spread)


@pytest.mark.parametrize("kind", ["noise", "data", "v"])
def test_predictors_meet_whole_levels_evenly(kind: Any) -> None:
    process, count = levels_of(levels=50), 20_000
    objective = DDPM(ObjectiveConfig(kind), process, Gaussian())
    data = Batch(Tokens(torch.zeros(count, 1, 1)), Conditions())
    predictor = Saying(process, torch.zeros(count, 1, 1), None, kind)
    objective(predictor, data, Key.range(0, 0, count))
    assert predictor.asked is not None
    assert torch.equal(predictor.asked, objective.times(Key.range(0, 0, count)))
    seen = process.time_input(predictor.asked)
    assert torch.equal(seen, seen.round())
    counts = torch.bincount(seen.long(), minlength=50)
    assert len(counts) == 50
    assert ((counts - count / 50).square() / (count / 50)).sum() < 85.4  # chi-square of 49 degrees at 0.1 %
    late = DDPM(replace(ObjectiveConfig(kind), time=TimeConfig(shift=3.0)), process, Gaussian())
    assert late.times(Key.range(0, 0, count)).mean() > 0.6


def gaussian(process: DiscreteDDPM, sd: float) -> MixturePredictor:
    one = torch.ones(1, dtype=torch.float64)
    return MixturePredictor(process, one, 0.0 * one[:, None], one[:, None, None] * sd**2)


def best_variance(process: DiscreteDDPM, level: Tensor, sd: float) -> tuple[Tensor, Tensor]:
    """log V* = log(beta-tilde + data^2 Var(x0 | x_t)) and the output v that says so."""
    t = process.time(level)
    factors, alpha, sigma = posterior(process, t, process.time(level - 1)), process.alpha(t), process.sigma(t)
    left = sd**2 * sigma**2 / (alpha**2 * sd**2 + sigma**2)
    log_best = torch.log(factors.variance + factors.data.square() * left)
    share = (log_best - factors.variance.log()) / (factors.step.log() - factors.variance.log())
    return log_best, 2.0 * share - 1.0


@pytest.mark.parametrize("level", [3, 100, 600])
def test_a_learned_variance_reaches_the_variance_of_the_true_step(level: int) -> None:
    """The bound is smallest where V = beta-tilde + data^2 Var(x0 | x_t), which lies between the two fixed choices."""
    process, count, sd = levels_of(), 100_000, 0.5
    x0 = Tokens(sd * Gaussian().sample(Tokens(torch.zeros(count, 1, 1, dtype=torch.float64)), Key.range(0, 0, count)))
    t = process.time(torch.full((count,), level))
    x_t = process.mix(x0, Gaussian().sample(x0, Key.range(1, 0, count)), t)
    exact = gaussian(process, sd)(x_t, t, Conditions())
    v = torch.zeros((), dtype=torch.float64, requires_grad=True)

    def loss() -> Tensor:
        return bound_term(process, x0, replace(exact, variance=v.expand_as(x_t.values)), learn_mean=False).mean()

    optimiser = torch.optim.LBFGS([v], max_iter=60, line_search_fn="strong_wolfe", tolerance_change=1e-12)

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = 1e3 * loss()
        value.backward()
        return value

    optimiser.step(closure)
    wanted, share = best_variance(process, torch.tensor([level]), sd)
    log_variance = step_log_variance(process, replace(exact, variance=v.detach().expand_as(x_t.values)))[1]
    assert log_variance[0].item() == pytest.approx(wanted.item(), abs=0.01)
    assert -1 < share.item() < 1


def test_the_bound_of_a_perfect_model_is_the_entropy_of_its_data() -> None:
    """8-bit data of N(0, 0.3^2) hold h + log2(255 / 2) bits a number; 1000 levels pay hardly more."""
    process, sd, each = levels_of(), 0.3, 200
    level = torch.cat([torch.zeros(20_000, dtype=torch.long), torch.arange(1, 1000).repeat_interleave(each)])
    like = Tokens(torch.zeros(len(level), 1, 1, dtype=torch.float64))
    raw = sd * Gaussian().sample(like, Key.range(0, 0, len(level)))
    x0 = Tokens(((raw + 1) * 127.5).round().clamp(0, 255) / 127.5 - 1)
    t = process.time(level)
    x_t = process.mix(x0, Gaussian().sample(x0, Key.range(1, 0, len(level))), t)
    variance = best_variance(process, level.clamp(min=1), sd)[1].view(-1, 1, 1)
    predicted = replace(gaussian(process, sd)(x_t, t, Conditions()), variance=variance)
    terms = bound_term(process, x0, predicted, learn_mean=True)
    bits = torch.stack([terms[level == n].mean() for n in range(1000)]).sum().item()
    entropy = 0.5 * math.log2(2 * math.pi * math.e * sd**2) + math.log2(127.5)
    assert entropy < bits < 1.05 * entropy


def test_the_decoder_gives_all_its_probability_to_the_256_levels() -> None:
    x = torch.linspace(-1, 1, 256, dtype=torch.float64)
    for mean in (-0.95, 0.1, 1.2):
        for log_variance in (-6.0, -2.0):
            nats = decoder_nll(x, torch.tensor(mean).double(), torch.tensor(log_variance).double())
            assert torch.exp(-nats).sum().item() == pytest.approx(1.0, abs=1e-9)
    narrow = decoder_nll(x, x, torch.full_like(x, -20.0))
    assert narrow.abs().max() < 1e-6


@pytest.mark.parametrize("config", [LEARNED, replace(LEARNED, loss="vlb"), ObjectiveConfig("data")])
def test_losses_do_not_depend_on_padding_packing_or_batch(config: ObjectiveConfig) -> None:
    process = levels_of()
    objective = DDPM(config, process, Gaussian())
    samples = [
        Tokens(
            torch.randn(1, length, 2, generator=torch.Generator().manual_seed(length)),
            layout=(Layout((length,), (length,)),),
        )
        for length in (3, 5, 2)
    ]

    def losses(join: Any, chosen: list[int]) -> Tensor:
        data = Batch(join([samples[i] for i in chosen], 8), Conditions())
        return objective(Analytic(process, config.prediction), data, Key(0, torch.tensor(chosen)))

    padded = losses(collate, [0, 1, 2])
    torch.testing.assert_close(losses(pack, [0, 1, 2]), padded)
    torch.testing.assert_close(losses(collate, [2]), padded[2:])


def test_weights_over_time_are_those_of_flows() -> None:
    """The squared error of x0, weighted by SNR, is that of the noise: one wrong answer, two ways."""
    process, data, key = levels_of(), batch(), Key.range(0, 0, 8)
    noise = Gaussian().sample(data.tokens, key.fold("noise")) + 0.1

    def loss(kind: Any, weighting: Any) -> Tensor:
        def wrong(x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
            return Prediction(process, x_t, t, process.convert(noise, x_t, t, "noise", kind), kind)

        return DDPM(ObjectiveConfig(kind, weighting), process, Gaussian())(wrong, data, key)

    torch.testing.assert_close(loss("noise", "auto"), torch.full((8,), 0.01), rtol=1e-4, atol=0)
    torch.testing.assert_close(loss("data", "snr"), torch.full((8,), 0.01), rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variance": "learned", "loss": "mse"}, "loss mse trains no variance"),
        ({"loss": "hybrid"}, "loss hybrid trains the variance of steps: it needs variance learned"),
        ({"loss": "vlb", "coupling": "optimal_transport"}, "loss vlb is a bound only with noise that knows nothing"),
        ({"loss": "vlb", "channel_weights": (1.0, 2.0)}, "loss vlb is a bound only where all channels count"),
        ({"huber_delta": 2.0}, "huber_delta belongs to loss huber and means nothing to auto"),
        ({"loss": "l1", "data_levels": 17}, "data_levels belongs to losses vlb and hybrid"),
        ({"channel_weights": (0.0, 0.0)}, "must not be negative, and one of them above 0"),
        ({"vlb_weight": 2.0}, "vlb_weight belongs to loss hybrid"),
        ({"variance": "learned", "loss": "vlb", "vlb_weight": 2.0}, "vlb_weight belongs to loss hybrid"),
        ({"variance": "learned", "vlb_weight": 0.0}, "vlb_weight 0.0: must be above 0"),
        ({"variance": "learned", "loss": "vlb", "weighting": "snr"}, "loss vlb is a bound only with even times"),
        (
            {"variance": "learned", "loss": "vlb", "time": TimeConfig(shift=2.0)},
            "loss vlb is a bound only with even times",
        ),
    ],
)
def test_losses_that_train_nothing_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ObjectiveConfig(**options)


def test_a_prediction_that_some_level_cannot_be_read_from_is_refused() -> None:
    with pytest.raises(UserError, match=r"objective\.prediction score: data and noise cannot be read"):
        DDPM(ObjectiveConfig("score", variance="learned"), levels_of(), Gaussian())


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("ddpm", {"loss": "vlb"}, r"is a bound on process\.path vdm, or on path ddpm with objective\.variance learned"),
        ("linear", {"loss": "vlb"}, r"objective\.loss vlb: is a bound on process\.path vdm"),
        ("vp", {"variance": "learned"}, r"objective\.variance learned: needs steps between levels of noise"),
    ],
)
def test_bounds_where_there_are_none_are_refused(path: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_objective(ObjectiveConfig("noise", **options), build_process(ProcessConfig(path=path)), Gaussian())


@pytest.mark.parametrize("source", ["zero_mean", "population"])
@pytest.mark.parametrize("path", ["vdm", "ddpm"])
def test_bounds_with_noise_that_is_not_gaussian_are_refused(path: Any, source: Any) -> None:
    process = ProcessConfig(path=path, source=source)
    config = ObjectiveConfig("noise", loss="vlb", variance="learned" if path == "ddpm" else "none")
    with pytest.raises(UserError, match=r"objective\.loss vlb: rests on Gaussian noise"):
        build_objective(config, build_process(process), build_source(process))


def test_steps_from_a_population_have_no_variance_to_learn() -> None:
    process = ProcessConfig(path="ddpm", source="population")
    with pytest.raises(UserError, match=r"objective\.variance learned: .* population .* use variance none"):
        build_objective(LEARNED, build_process(process), build_source(process))


def test_the_first_term_counts_the_levels_that_the_data_have() -> None:
    """Of 5 levels a narrow Gaussian around one has all of its probability; a wide one less, as of the normal law."""
    x = torch.linspace(-1, 1, 5, dtype=torch.float64)
    torch.testing.assert_close(decoder_nll(x, x, torch.full_like(x, 0.01).log() * 2, 5), torch.zeros_like(x))
    wide = decoder_nll(x, x, torch.full_like(x, 0.5).log() * 2, 5)
    assert wide[2].item() == pytest.approx(-math.log(math.erf(0.25 / 0.5 / math.sqrt(2))), abs=2e-3)

    process, data = levels_of(schedule="cosine", levels=4), batch()
    density = TimeConfig(draw="antithetic")
    losses = {
        count: DDPM(replace(LEARNED, loss="vlb", data_levels=count, time=density), process, Gaussian())(
            Analytic(process, "noise", True), data, Key.range(0, 0, 8)
        )
        for count in (2, 256)
    }
    first = DDPM(replace(LEARNED, loss="vlb", time=density), process, Gaussian()).times(Key.range(0, 0, 8))
    nearest = first == first.min()
    assert (losses[2] < losses[256])[nearest].all(), "two levels are told apart with ease"
    assert torch.equal(losses[2][~nearest], losses[256][~nearest]), "they appear in no other term"
