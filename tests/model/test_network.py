"""The network as a Predictor: what is not data stays zero from noise to sample and counts nowhere."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from beeline.backbone.config import ModelConfig, Positions
from beeline.conditioning.label import ClassLabel
from beeline.conditioning.map import AlignedMap
from beeline.conditioning.vector import Vector
from beeline.core.batching import collate, pack, unbatch
from beeline.core.conditions import Conditions
from beeline.core.data import Batch
from beeline.core.protocols import Condition
from beeline.core.random import Key
from beeline.core.tokens import Tokens
from beeline.model.network import Network
from beeline.objectives.config import ObjectiveConfig
from beeline.objectives.flow import Flow
from beeline.process.linear import Linear
from beeline.process.sources import Gaussian, ZeroMean
from beeline.samplers.build import build_sampler
from beeline.samplers.config import SampleConfig
from beeline.samplers.grids import build_grid
from beeline.samplers.solve import sample
from beeline.tokenizers.grid import GridTokenizer
from tests.conftest import randomise_zeros

SMALL = ModelConfig(preset="DiT-Nano", hidden_size=32, num_heads=4)


def network(prediction: str = "velocity") -> Network:
    torch.manual_seed(0)
    made = Network(SMALL, GridTokenizer((4,)), [], Linear(), prediction)
    randomise_zeros(made)
    return made


def rows(*lengths: int) -> list[Tokens]:
    tokenizer = GridTokenizer((4,))
    generator = torch.Generator().manual_seed(3)
    return [tokenizer.encode(torch.randn(length, 1, generator=generator)) for length in lengths]


@pytest.mark.parametrize("prediction", ["velocity", "noise", "data"])
@pytest.mark.parametrize("source", [Gaussian(), ZeroMean()])
def test_filling_stays_zero_from_the_first_noise_to_the_sample(prediction: str, source: Gaussian | ZeroMean) -> None:
    process = Linear()
    batch = collate(rows(5, 8, 3))
    assert batch.cells is not None
    interval = process.interval(prediction)
    start = process.prior(batch, source, Key.range(0, 0, 3), interval[1])
    seen: list[Tokens] = [start]
    solver = build_sampler(SampleConfig(), source)
    times = build_grid("uniform", 3, interval)
    end = sample(
        solver, network(prediction), start, times, Conditions(), Key.range(0, 0, 3), lambda state: seen.append(state.x)
    )
    for tokens in [*seen, end.x]:
        assert not tokens.values[~batch.cells].any()
        if isinstance(source, Gaussian):
            assert tokens.values[batch.cells].all()


def test_the_loss_is_the_mean_over_data_alone() -> None:
    """Three numbers of the last patch are no data: the loss is that of the five, padded, packed or alone."""
    model, objective = network(), Flow(ObjectiveConfig(), Linear(), Gaussian())
    samples = rows(5, 8, 3)
    for join in (collate, pack):
        tokens = join(samples, 4)
        losses = objective(model, Batch(tokens, Conditions()), Key.range(0, 0, 3))
        for index, single in enumerate(samples):
            key = Key.range(0, index, 1)
            alone = objective(model, Batch(single, Conditions()), key)
            torch.testing.assert_close(losses[index], alone[0], rtol=1e-4, atol=1e-5)
            t, noise = objective.times(key), Gaussian().sample(single, key.fold("noise"))
            error = model(Linear().mix(single, noise, t), t, Conditions()).output - (noise - single.values)
            real = torch.ones_like(error).bool() if single.cells is None else single.cells
            torch.testing.assert_close(alone[0], error[real].square().mean())


def test_maps_lie_under_their_own_tokens_and_vectors_reach_their_own_samples() -> None:
    """Padded or packed, with a map appended to the tokens and a vector added to the time."""
    tokenizer = GridTokenizer((4,))
    conditions: list[Condition] = [
        AlignedMap("m", mean=(0.0,), deviation=(1.0,), dropout=0.3),
        Vector("v", 2, mean=(0, 0), deviation=(1, 1)),
    ]
    torch.manual_seed(0)
    model = Network(SMALL, tokenizer, conditions, Linear())
    randomise_zeros(model)
    samples, maps = rows(8, 4, 12), [tokenizer.lift(torch.randn(length, 1)) for length in (8, 4, 12)]
    vectors, null, t = torch.randn(3, 2), torch.tensor([False, True, False]), torch.tensor([0.2, 0.5, 0.9])

    def ask(tokens: Tokens, features: torch.Tensor, chosen: list[int]) -> torch.Tensor:
        given = Conditions({"m": features, "v": vectors[chosen]}, {"m": null[chosen], "v": ~null[chosen]})
        return model(tokens, t[chosen], given).output

    alone = [ask(samples[i], maps[i], [i]) for i in range(3)]
    for join in (collate, pack):
        tokens = join(samples, 6)
        features = join([single.with_values(each) for single, each in zip(samples, maps, strict=True)], 6).values
        together = ask(tokens, features, [0, 1, 2])
        for index, expected in enumerate(alone):
            if tokens.segment is not None:
                mine = together[tokens.segment == index]
            else:
                mine = together[index, : expected.shape[1]]
            torch.testing.assert_close(mine, expected[0], rtol=1e-5, atol=1e-5)
    other = ask(samples[0], maps[0] + 1, [0])
    assert not torch.allclose(other, alone[0])
    assert torch.equal(ask(samples[1], maps[1] + 1, [1]), alone[1]), "where the map is absent its values mean nothing"


def periodic_network(positions: Positions, periodic: tuple[bool, bool]) -> Network:
    torch.manual_seed(0)
    config = ModelConfig(preset="DiT-Nano", hidden_size=32, num_heads=4, positions=positions)
    made = Network(config, GridTokenizer((2, 2), periodic=periodic), [], Linear(), extents=(6, 6)).double()
    randomise_zeros(made, 0.3)
    return made


def said(network: Network, *batches: Tokens) -> Tensor:
    """Outputs for batches at one time, sample behind sample."""
    parts = []
    for tokens in batches:
        output = network(tokens, torch.full((tokens.samples,), 0.4, dtype=torch.float64), Conditions()).output
        parts += [single.values[0] for single in unbatch(tokens.with_values(output))]
    return torch.cat(parts)


def test_a_periodic_axis_begins_nowhere() -> None:
    """Rolling the data along it rolls what rotary networks say, and along another axis it does not."""
    array = torch.randn(8, 6, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    network = periodic_network("rotary", (True, False))
    tokenizer = GridTokenizer((2, 2), periodic=(True, False))
    for axis, follows in ((0, True), (1, False)):
        rolled = said(network, tokenizer.encode(array.roll(4, axis)))
        expected = said(network, tokenizer.encode(array)).unflatten(0, (4, 3)).roll(2, axis).flatten(0, 1)
        assert torch.allclose(rolled, expected, rtol=0, atol=1e-5) == follows


@pytest.mark.parametrize("positions", ["sincos", "rotary", "learned"])
def test_each_sample_keeps_its_own_period_padded_and_packed(positions: Positions) -> None:
    network, tokenizer = periodic_network(positions, (True, False)), GridTokenizer((2, 2), periodic=(True, False))
    generator = torch.Generator().manual_seed(2)
    shapes = ((8, 6), (4, 6), (12, 4))
    singles = [tokenizer.encode(torch.randn(*s, 1, dtype=torch.float64, generator=generator)) for s in shapes]
    alone = said(network, *singles)
    for batch in (collate(singles), pack(singles, 30)):
        torch.testing.assert_close(said(network, batch), alone, rtol=0, atol=1e-6)
    if positions != "learned":
        open_ends = [GridTokenizer((2, 2)).encode(tokenizer.decode(single)) for single in singles]
        assert not torch.allclose(said(network, *open_ends), alone, atol=1e-3)


def test_e18_the_backbone_is_shown_the_time_input_of_the_process() -> None:
    """E18: 1000 t, because t itself would hardly tell times apart."""
    model, shown = network(), list[float]()
    model.dit.time.register_forward_pre_hook(lambda _, given: shown.extend(given[0].tolist()))
    model(collate(rows(8, 8)), torch.tensor([0.25, 1.0]), Conditions())
    assert shown == [250.0, 1000.0]


def test_e23_predictions_and_scores_answer_to_every_global_condition() -> None:
    """E23: the score is s(x, t, c): neither of two conditions may be lost on the way to it."""
    torch.manual_seed(0)
    conditions: list[Condition] = [ClassLabel("label", 3), Vector("law", 2, mean=(0, 0), deviation=(1, 1))]
    model = Network(SMALL, GridTokenizer((4,)), conditions, Linear())
    randomise_zeros(model)
    present = {"label": torch.tensor([False]), "law": torch.tensor([False])}

    def score(label: int, law: float) -> torch.Tensor:
        values = {"label": torch.tensor([label]), "law": torch.full((1, 2), law)}
        return model(rows(8)[0], torch.tensor([0.5]), Conditions(values, present)).score

    assert torch.equal(score(0, 0.0), score(0, 0.0))
    assert not torch.allclose(score(1, 0.0), score(0, 0.0))
    assert not torch.allclose(score(0, 1.0), score(0, 0.0))


def test_a_trained_path_is_trained_and_saved_with_the_network() -> None:
    """A process that is a module is registered: the optimiser, the average and the file all know it."""

    class Learned(Linear, torch.nn.Module):
        def __init__(self) -> None:
            torch.nn.Module.__init__(self)
            self.rate = torch.nn.Parameter(torch.ones(()))

    model = Network(SMALL, GridTokenizer((4,)), [], Learned())
    assert "process.rate" in dict(model.named_parameters())
    assert "process.rate" in model.state_dict()
