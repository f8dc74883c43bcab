"""Probes measure the same thing every time."""

from __future__ import annotations

import torch

from beeline.evaluate.probes import held_out_loss
from beeline.modalities.images import Images
from tests.train.helpers import make_trainer


def test_the_held_out_loss_changes_with_the_network_alone() -> None:
    trainer = make_trainer()
    held_out = [trainer.feed.codec.encode(example) for example in Images().dataset("held_out")[:20]]
    probe = held_out_loss(trainer, held_out, every=4)
    first = probe(4, trainer.network)
    assert probe(8, trainer.network) == first
    with torch.no_grad():
        trainer.network.backbone.head.bias.add_(0.1)
    assert probe(8, trainer.network) != first
