"""What all tests share: one thread, real data where it is at hand, and small trained runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings
from torch import nn

from beeline.cli.train import train

settings.register_profile("here", deadline=None, max_examples=50, derandomize=True)
settings.load_profile("here")


def pytest_configure(config: pytest.Config) -> None:
    """All but the tests marked ``gpu`` are about the CPU, on machines with a GPU too."""
    if "not gpu" in config.option.markexpr:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


# Files whose tests share a run that takes seconds to make: each is for one worker.
SHARING = {
    "tests/cli/test_convert.py",
    "tests/evaluate/test_cell_pages.py",
    "tests/evaluate/test_field_pages.py",
    "tests/faults/test_faults.py",
    "tests/generate/test_conditioned_fields.py",
    "tests/modalities/test_cell_conditions.py",
    "tests/modalities/test_cell_populations.py",
    "tests/modalities/test_cells.py",
    "tests/modalities/test_five.py",
    "tests/process/test_regression.py",
    "tests/train/test_autoencoding.py",
    "tests/train/test_ema.py",
    "tests/train/test_init.py",
    "tests/train/test_resume.py",
}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Tests go to workers one by one, save those of the files above."""
    from xdist.scheduler import LoadScopeScheduling

    class Sharing(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return file if file in SHARING else nodeid

    return Sharing(config, log) if config.getvalue("dist") == "load" else None


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tests share their machine: one thread is fastest and repeatable."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _no_cache_at_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is remembered about folders of images stays with the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """Folder of a real data set or of recorded references by name; the test is skipped where it is not at hand."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    root = Path(os.environ.get("BEELINE_SHARED", beside))

    def find(name: str) -> Path:
        for folder in (root / "data" / name, root / name):
            if folder.is_dir():
                return folder
        pytest.skip(f"real data '{name}' is not at hand (set BEELINE_SHARED)")

    return find


FAST = {
    "train.threads": 1,
    "train.precision": "fp32",
    "train.batch_size": 16,
    "train.score_samples": 0,
    "train.log_every": 2,
    "train.checkpoint_every": 4,
    "train.held_out_every": 4,
    "train.sample_every": 0,
    "train.tensorboard": "false",
    "model.preset": "DiT-Nano",
    "sample.steps": 2,
}


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of ten steps on digits: enough for everything but quality."""
    return train("digits", tmp_path_factory.mktemp("runs") / "small", options={**FAST, "train.steps": 10})


def lines_of(errors: str) -> list[str]:
    """What a command said, without what it says to people who wait, as they do where a machine is busy."""
    return [line for line in errors.splitlines() if not line.endswith("this takes a while")]


def randomise_zeros(module: nn.Module, scale: float = 0.1) -> None:
    """Replace every tensor that starts at zero by small random numbers.

    A fresh network is the identity behind closed gates, so a test of what it computes would be vacuous.
    """
    with torch.no_grad():
        for parameter in module.parameters():
            if not parameter.any():
                parameter.normal_(std=scale)
