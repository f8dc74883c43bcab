"""What is built is what the config says."""

from __future__ import annotations

import torch

from beeline.core.random import Key
from beeline.core.tokens import Tokens
from beeline.process.build import build_process, build_source
from beeline.process.config import ProcessConfig
from beeline.process.vp import VariancePreserving


def test_a_vp_path_has_the_noise_rates_of_its_config() -> None:
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    for betas in ((0.1, 20.0), (0.5, 16.0)):
        built = build_process(ProcessConfig(path="vp", beta_min=betas[0], beta_max=betas[1]))
        torch.testing.assert_close(built.alpha(t), VariancePreserving(*betas).alpha(t))


def test_only_the_zero_mean_source_has_no_centre() -> None:
    like = Tokens(torch.zeros(2, 5, 1))
    usual, centred = (
        build_source(ProcessConfig(source=name)).sample(like, Key.range(0, 0, 2)) for name in ("gaussian", "zero_mean")
    )
    assert centred.mean(dim=1).abs().max() < 1e-6 < usual.mean(dim=1).abs().min()
