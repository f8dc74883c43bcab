"""Families by one option, and what wins over what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from beeline.cli.recipes import Recipe, find_recipe
from beeline.cli.resolve import resolve, resolve_stored
from beeline.cli.train import train
from beeline.core.conditions import Conditions
from beeline.core.data import Batch
from beeline.core.errors import UserError
from beeline.core.prediction import Prediction
from beeline.core.random import Key
from beeline.core.tokens import Tokens
from beeline.core.yaml_text import read_yaml
from beeline.generate.load import load
from beeline.model.build import build_objective
from beeline.objectives.families import FAMILIES
from beeline.process.build import build_process
from beeline.process.sources import Gaussian
from beeline.process.vdm import LearnedLogSNR
from beeline.train.config import RunConfig
from tests.conftest import FAST
from tests.train.helpers import make_trainer


def config(*flags: str, **sections: Any) -> RunConfig:
    recipe = find_recipe("digits")
    return resolve(Recipe(recipe.target, recipe.name, {**recipe.values, **sections}), flags).config


def family(name: str) -> str:
    return f"--objective.family={name}"


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_takes_the_place_of_the_recipes_sections(name: str) -> None:
    found = config(family(name), objective={"time": {"density": "logit_normal"}, "channel_weights": None})
    assert found.objective.family == name
    if name == "none":
        assert found.objective.time.density == "logit_normal"
        return
    values = FAMILIES[name]
    assert found.process.path == values["process"]["path"]
    assert found.objective.prediction == values["objective"]["prediction"]
    assert found.objective.time.density == values["objective"].get("time", {}).get("density", "uniform")
    assert found.sample.sampler == values["sample"]["sampler"]
    build_objective(found.objective, build_process(found.process), Gaussian())


def test_options_beside_a_family_win_over_it() -> None:
    flags = (family("edm"), "--process.rho=5", "--objective.time.mean=-1", "--sample.steps=9")
    found = config(*flags, process={"path": "ddpm", "levels": 50, "sigma_data": 0.6}, sample={"sampler": "ddpm"})
    assert (found.process.path, found.process.rho, found.process.sigma_data) == ("ve", 5.0, 0.6)
    assert (found.objective.time.mean, found.objective.time.sd) == (-1.0, 1.2)
    assert (found.sample.sampler, found.sample.steps) == ("dpmpp_2m", 9)


def test_a_family_in_a_recipe_lies_under_the_recipe() -> None:
    own = {"family": "edm", "time": {"draw": "antithetic"}}
    found = config(objective=own, process={"sigma_max": 20.0})
    assert (found.process.path, found.process.sigma_max) == ("ve", 20.0)
    assert (found.objective.time.draw, found.objective.time.mean) == ("antithetic", -1.2)
    other = config(objective={**own, "time": {"density": "logit_normal"}})
    assert (other.objective.time.density, other.objective.time.mean) == ("logit_normal", 0.0)


def test_a_family_that_is_no_name_is_refused() -> None:
    with pytest.raises(UserError, match=r"unknown objective\.family"):
        config(objective={"family": ["vdm"]})


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((family("edn"),), "objective.family 'edn'.*did you mean 'edm'"),
        (
            (family("edm"), "--model.compatible_with=sit"),
            "objective.family edm: model.compatible_with sit asks for its",
        ),
        ((family("vdm"), "--objective.loss=mse"), "process.log_snr learned: is learned by objective.loss vlb"),
    ],
)
def test_families_that_do_not_fit_are_refused(flags: tuple[str, ...], message: str) -> None:
    def made() -> None:
        found = config(*flags)
        build_objective(found.objective, build_process(found.process), Gaussian())

    with pytest.raises(UserError, match=message):
        made()


def test_edm_is_the_published_loss() -> None:
    """lambda(sigma) |D(x + n; sigma) - x|^2 with D = c_skip x + c_out F(c_in x; c_noise), ln sigma ~ N(-1.2, 1.2^2)."""
    found = config(family("edm"))
    process = build_process(found.process)
    objective = build_objective(found.objective, process, Gaussian())
    clean = torch.randn(500, 3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    batch, key = Batch(Tokens(clean), Conditions()), Key.range(0, 0, 500)

    def net(x: torch.Tensor, c_noise: torch.Tensor) -> torch.Tensor:
        return torch.sin(3 * x + c_noise.view(-1, 1, 1))

    def predictor(x_t: Tokens, t: torch.Tensor, conditions: Conditions) -> Prediction:
        scale = process.input_scale(t)
        assert scale is not None
        seen = x_t.expand(scale) * x_t.values
        return Prediction(process, x_t, t, net(seen, process.time_input(t)), "edm")

    loss = objective(predictor, batch, key)
    sigma = process.sigma(objective.times(key).double())
    logarithm = sigma.log()
    assert (logarithm.mean().item(), logarithm.std().item()) == pytest.approx((-1.2, 1.2), abs=0.15)
    noisy = clean + sigma.view(-1, 1, 1) * Gaussian().sample(batch.tokens, key.fold("noise"))
    sd = found.process.sigma_data
    total = sigma**2 + sd**2
    c_skip, c_out, c_in = sd**2 / total, sigma * sd / total.sqrt(), 1 / total.sqrt()
    c_skip, c_out, c_in, weight = (each.view(-1, 1, 1) for each in (c_skip, c_out, c_in, total / (sigma * sd) ** 2))
    denoised = c_skip * noisy + c_out * net(c_in * noisy, sigma.log() / 4)
    expected = (weight * (denoised - clean).square()).mean(dim=(1, 2))
    torch.testing.assert_close(loss, expected, rtol=2e-4, atol=1e-6)


def test_a_learned_path_is_trained_saved_opened_and_resumed(tmp_path: Path) -> None:
    options = {**FAST, "train.steps": 4, "objective.family": "vdm"}
    run = train("digits", tmp_path / "vdm", options=options)
    process = load(run).process
    assert isinstance(process, LearnedLogSNR)
    assert process.heights.abs().max() > 0
    assert resolve_stored(read_yaml(run / "config.yaml"), None, [family("vdm")])
    with pytest.raises(UserError, match=r"resume: objective\.family is vdm in this run and cannot become edm"):
        train("digits", run, resume=True, options={"objective.family": "edm"})


def test_learned_weights_are_trained_and_kept_and_the_plain_loss_is_told() -> None:
    trainer = make_trainer(objective__weighting="learned")
    plain = make_trainer()
    for each in (trainer, plain):
        each.train_step()
    assert trainer.take_measurements()["loss"] == plain.take_measurements()["loss"]
    learned = trainer.objective.learned
    assert learned is not None
    assert trainer.network.companion is learned
    name, parameter = "companion.coefficients", next(learned.parameters())
    assert parameter.abs().max() > 0
    assert torch.equal(trainer.tensors()["weights"][name], parameter)
    assert trainer.averaged_weights()[name].abs().max() > 0


def test_a_run_that_begins_from_another_network_keeps_its_family(small_run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"objective\.family edm: the network to begin from has its own"):
        train("digits", tmp_path / "run", options={**FAST, "objective.family": "edm"}, init=small_run)
