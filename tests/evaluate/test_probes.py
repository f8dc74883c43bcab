"""Probes measure the same thing every time."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from beeline.evaluate.probes import MOST_EXAMPLES, held_out_batches, held_out_loss
from beeline.modalities.images import Images
from tests.train.helpers import make_trainer


def test_the_held_out_loss_changes_with_the_network_alone() -> None:
    trainer = make_trainer()
    held_out = [trainer.feed.codec.encode(example) for example in Images().dataset("held_out")[:20]]
    probe = held_out_loss(trainer, held_out, every=4)
    first = probe(4, trainer.network)
    assert probe(8, trainer.network) == first
    with torch.no_grad():
        trainer.network.dit.head.bias.add_(0.1)
    assert probe(8, trainer.network) != first


def test_held_out_examples_that_lie_class_by_class_are_all_measured() -> None:
    """And never more at a time than training takes, which fit into memory."""
    trainer = make_trainer(train__batch_size=32, train__accumulation=2)
    examples = sorted(Images().dataset("held_out"), key=lambda example: int(example.condition["label"]))
    held_out = [trainer.feed.codec.encode(example) for example in examples]
    assert len(held_out) > MOST_EXAMPLES
    batches = held_out_batches(trainer.feed.codec, held_out, 16, "cpu")
    labels = torch.cat([batch.conditions.values["label"].flatten() for batch in batches]).tolist()
    assert len(labels) == MOST_EXAMPLES
    assert set(labels) == set(range(10))
    assert [len(batch.conditions.values["label"]) for batch in held_out_loss(trainer, held_out, 4).batches] == [16] * 16


def test_the_held_out_loss_does_not_depend_on_how_many_are_measured_at_a_time() -> None:
    trainer = make_trainer(train__batch_size=16)
    held_out = [trainer.feed.codec.encode(example) for example in Images().dataset("held_out")[:40]]
    whole, parts = (
        replace(held_out_loss(trainer, held_out, 4), batches=held_out_batches(trainer.feed.codec, held_out, n, "cpu"))
        for n in (40, 7)
    )
    one, other = whole(4, trainer.network), parts(4, trainer.network)
    assert one["held_out_loss"] == pytest.approx(other["held_out_loss"], rel=1e-5)
    for each, again in zip(one["held_out_loss_by_time"], other["held_out_loss_by_time"], strict=True):
        assert (each is None and again is None) or each == pytest.approx(again, rel=1e-4)
