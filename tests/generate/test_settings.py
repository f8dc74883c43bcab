"""How a run's sampling options, presets and what is asked for come together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from beeline.core.errors import UserError
from beeline.generate.load import load
from beeline.generate.settings import settled
from beeline.samplers.config import SampleConfig
from beeline.samplers.presets import PRESETS
from tests.train.helpers import command, finish

IMPLICIT = SampleConfig("ddim", steps=50, grid="strided", eta=0.5, clip=1.0, cfg_scale=2.0)


def test_options_of_the_stored_sampler_alone_are_left_with_it() -> None:
    heun = settled(IMPLICIT, None, {"sampler": "heun"})
    assert heun == SampleConfig("heun", steps=50, cfg_scale=2.0)
    ancestral = settled(IMPLICIT, None, {"sampler": "ddpm"})
    assert (ancestral.eta, ancestral.clip, ancestral.grid) == (0.0, 1.0, "auto"), "ddpm clips too"
    assert settled(IMPLICIT, None, {"sampler": "ddim"}) == settled(IMPLICIT, None, {}) == IMPLICIT
    tight = SampleConfig("dopri5", rtol=1e-6)
    assert settled(tight, None, {"sampler": "euler"}) == SampleConfig("euler")


def test_what_is_given_beside_a_sampler_that_it_means_nothing_to_is_refused() -> None:
    with pytest.raises(UserError, match=r"eta 0\.5: belongs to sampler ddim"):
        settled(IMPLICIT, None, {"sampler": "heun", "eta": 0.5})
    with pytest.raises(UserError, match="grid strided: ends at t = 0"):
        settled(IMPLICIT, None, {"sampler": "heun", "grid": "strided"})


@pytest.mark.parametrize(("name", "value"), [("steps", 5), ("grid", "karras"), ("shift", 2.0)])
def test_steps_asked_of_the_solver_that_chooses_its_own_are_refused(name: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"{name} {value}: sampler dopri5 chooses its own steps"):
        settled(IMPLICIT, None, {"sampler": "dopri5", name: value})
    with pytest.raises(UserError, match="chooses its own steps"):
        settled(SampleConfig("dopri5"), None, {name: value})
    assert settled(IMPLICIT, "fast", {"sampler": "dopri5"}).sampler == "dopri5"


def test_what_does_not_fit_the_model_is_refused_before_any_work(small_run: Path) -> None:
    engine = load(small_run)
    engine.network.register_forward_pre_hook(lambda *_: pytest.fail("the network was asked"))
    for options, message in (
        ({"sampler": "dpmpp_3m", "steps": 2}, "steps 2: sampler dpmpp_3m .* needs 3"),
        ({"sampler": "euler_maruyama", "diffusion": "vp"}, "diffusion vp: .* use diffusion sigma"),
        ({"sampler": "ddpm", "variance": "learned"}, "variance"),
        ({"sampler": "dopri5", "steps": 4}, "chooses its own steps"),
    ):
        with pytest.raises(UserError, match=message):
            engine.sample(1, **options)


def test_presets_lie_between_the_run_and_what_is_given() -> None:
    for name, options in PRESETS.items():
        found = settled(IMPLICIT, name, {})
        assert all(getattr(found, option) == value for option, value in options.items())
        assert found.cfg_scale == 2.0
        assert settled(IMPLICIT, name, {"steps": 3}).steps == 3
    with pytest.raises(UserError, match="unknown preset 'fats'; did you mean 'fast'"):
        settled(IMPLICIT, "fats", {})


def test_a_preset_is_recorded_with_the_samples(small_run: Path, tmp_path: Path) -> None:
    engine = load(small_run)
    samples = engine.generate(engine.requests(1, {}), 0, engine.settings(preset="fast"))
    assert samples.provenance["preset"] == "fast"
    assert samples.provenance["steps"] == PRESETS["fast"]["steps"]
    other = engine.generate(engine.requests(1, {}), 0, engine.settings(preset="fast", steps=3))
    assert "preset" not in other.provenance, "it is not what was done"
    out = tmp_path / "drawn"
    done = finish(command("sample", str(small_run), "--preset", "fast", "-n", "1", "--out", str(out)))
    assert done.returncode == 0, done.stderr
    record = json.loads((out / "samples.json").read_text())
    assert (record["preset"], record["sampler"]) == ("fast", PRESETS["fast"]["sampler"])
    refused = finish(command("sample", str(small_run), "--preset", "fastest"))
    assert refused.returncode == 2
    assert "unknown preset 'fastest'" in refused.stderr


def test_the_adaptive_solver_draws_each_item_at_its_own_cost(small_run: Path) -> None:
    engine = load(small_run)
    settings = engine.settings(sampler="dopri5", rtol=1e-2, atol=1e-2)
    done: list[tuple[int, int]] = []
    samples = engine.generate(engine.requests(3, {}), 0, settings, 2, lambda *each: done.append(each))
    assert done == [(1, 2), (2, 2)], "one stretch a batch"
    passes = samples.provenance["passes"]
    assert all(each >= 8 and (each - 2) % 6 == 0 for each in ([passes] if isinstance(passes, int) else passes))
    assert (samples.provenance["steps"], samples.provenance["rtol"]) == (1, 1e-2)
