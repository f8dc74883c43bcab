"""Optimal transport moves noise within a condition, over the whole batch of a step, and never a target."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from beeline.conditioning.label import ClassLabel
from beeline.conditioning.vector import Vector
from beeline.core.data import Batch, Example
from beeline.core.errors import UserError
from beeline.core.random import Key
from beeline.data.normalisers import Standardise
from beeline.model.codec import Codec
from beeline.process.coupling import assign
from beeline.process.sources import Gaussian, ZeroMean
from beeline.tokenizers.grid import GridTokenizer
from beeline.train.coupling import OptimalTransport, check_coupling, groups_of
from tests.train.helpers import make_trainer

SERIES = Codec(
    Standardise(mean=(0.0,), deviation=(1.0,)), GridTokenizer((2,)), (ClassLabel("kind", 3, dropout=0.1),), extents=(3,)
)


def examples(count: int = 24) -> list[Example]:
    """Of three kinds and two lengths, one in six without a kind."""
    random = np.random.default_rng(0)
    kinds = [{} if index % 6 == 5 else {"kind": index % 3} for index in range(count)]
    return [Example(random.normal(size=(4 + index % 2, 1)), kind) for index, kind in enumerate(kinds)]


def batch() -> Batch:
    return SERIES.batch([SERIES.encode(example) for example in examples()])


def test_the_assignment_is_the_best_of_all() -> None:
    generator = torch.Generator().manual_seed(0)
    data, noise = (torch.randn(6, 4, generator=generator) for _ in range(2))
    chosen = assign(data, noise, [[0, 1, 2, 3, 4], [5]])
    cost = lambda order: (data[:5] - noise[list(order)]).square().sum().item()  # noqa: E731
    assert cost(chosen[:5].tolist()) == pytest.approx(min(map(cost, itertools.permutations(range(5)))))
    assert chosen[5] == 5
    assert torch.equal(assign(data, noise, []), torch.arange(6))


@pytest.mark.parametrize("source", [Gaussian(), ZeroMean()])
def test_e32_optimal_transport_moves_the_noise_and_never_a_target(source: Any) -> None:
    """E32: pairs of target and condition stay, each noise is used once, by a sample of the same condition and form."""
    given, key = batch(), Key.range(3, 1000, 24)
    coupled = OptimalTransport(source)(given, key)
    assert coupled.tokens is given.tokens
    assert coupled.conditions is given.conditions
    assert coupled.partners is not None
    assert sorted(coupled.partners.tolist()) == list(range(1000, 1024))
    kinds = [example.condition.get("kind") for example in examples()]
    for index, partner in enumerate(coupled.partners.tolist()):
        assert kinds[index] == kinds[partner - 1000]
        assert index % 2 == partner % 2, "the form"
    own, taken = (source.sample(given.tokens, each.noise_key(key)) for each in (given, coupled))
    real = given.tokens.only_data
    costs = [(given.tokens.values - real(noise)).square().sum(dim=(1, 2)) for noise in (own, taken)]
    for group in groups_of(given):
        assert costs[1][group].sum() <= costs[0][group].sum() + 1e-5
    assert costs[1].sum() < 0.95 * costs[0].sum()
    torch.testing.assert_close(taken, own[coupled.partners - 1000])
    halves = coupled.rows(torch.arange(12, 24))
    assert torch.equal(halves.noise_key(key).numbers, coupled.partners[12:])


def test_accumulation_changes_neither_partners_nor_gradients() -> None:
    found = []
    for parts in (1, 4):
        trainer = make_trainer(objective__coupling="optimal_transport", train__batch_size=64, train__accumulation=parts)
        batches = [each for each, _ in trainer._micro_batches()]
        assert len(batches) == parts
        partners = torch.cat([each.partners for each in batches if each.partners is not None])
        assert sorted(partners.tolist()) == list(range(64))
        assert (partners != torch.arange(64)).any()
        trainer.train_step()
        moments = {name: each for name, each in trainer.tensors()["optimiser"].items() if name.endswith("/exp_avg")}
        found.append((partners, moments, trainer.take_measurements()["loss"]))
    assert torch.equal(found[0][0], found[1][0])
    assert found[0][2] == pytest.approx(found[1][2], rel=1e-5)
    for name, moment in found[0][1].items():
        torch.testing.assert_close(moment, found[1][1][name], rtol=1e-4, atol=1e-7, msg=name)
    plain = make_trainer(train__batch_size=64)
    plain.train_step()
    assert found[0][2] < plain.take_measurements()["loss"], "shorter paths are easier to foretell"


def test_data_that_cannot_exchange_noise_are_refused() -> None:
    random = np.random.default_rng(0)
    doses = [Example(np.ones((4, 1)), {"dose": random.normal(size=2)}) for _ in range(20)]
    dose = Vector("dose", 2).fit(each.condition["dose"] for each in doses)
    told = Codec(SERIES.normaliser, SERIES.tokenizer, (dose,), extents=(2,))
    with pytest.raises(UserError, match="no two of 20 training examples have equal ones; use coupling independent"):
        check_coupling(told, doses, packing=False)
    check_coupling(told, [*doses, doses[0]], packing=False)
    check_coupling(SERIES, examples(), packing=False)
    with pytest.raises(UserError, match=r"exchanges the noise of whole rows; leave train\.packing out"):
        check_coupling(SERIES, examples(), packing=True)
    with pytest.raises(UserError, match=r"leave train\.packing out"):
        make_trainer(objective__coupling="optimal_transport", train__packing="true")
