"""The conventions beside the weights are those of the process that was trained."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

import pytest

from beeline.model.format import conventions, library_version
from beeline.process.linear import Linear
from beeline.process.vp import VariancePreserving


class HalfTime(Linear):
    time_input_name = "500 t"


def test_conventions_tell_one_process_from_another() -> None:
    usual = conventions(Linear(), "velocity", "linear")
    assert (usual["interval"], usual["time_input"]) == ([0.0, 1.0], "1000 t")
    assert conventions(HalfTime(), "velocity", "linear")["time_input"] == "500 t"
    assert conventions(VariancePreserving(), "velocity", "vp")["interval"] == [1e-3, 1.0]
    assert conventions(Linear(), "noise", "linear")["prediction"] == "noise"


def test_a_source_tree_says_that_it_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    assert library_version()[0].isdigit()
    monkeypatch.setattr("beeline.model.format.version", missing)
    assert library_version() == "source"
