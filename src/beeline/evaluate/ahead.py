"""What is looked at before training, so that what follows it cannot fail."""

from __future__ import annotations

from beeline.generate.guidance import open_weak
from beeline.generate.plan import Plan
from beeline.train.setup import Prepared


def check_ahead(prepared: Prepared) -> None:
    """Refuse, before training, settings with which a trained model could not be sampled.

    Raises:
        UserError: a sampling option does not fit the model.
    """
    config, network = prepared.config, prepared.trainer.network
    Plan.make(config.sample, prepared.codec, network, network.source)
    if config.sample.guide_by is not None:
        open_weak(config.sample.guide_by, prepared.codec, network)
