"""The conventions beside the weights are those of the process that was trained."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import torch

from beeline.core.errors import UserError
from beeline.model.format import conventions, library_version, read_metadata, read_tensors, tensors_bytes
from beeline.process.bridge import Bridge
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
    assert usual["time"] == "t = 0 is data, t = 1 is noise; x_t = alpha x0 + sigma e"
    bridge = conventions(Bridge("scan"), "velocity", "bridge")["time"]
    assert bridge == "t = 0 is data, t = 1 is y; x_t = alpha x0 + sigma e + (1 - alpha) y, y condition scan"


def test_a_source_tree_says_that_it_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    assert library_version()[0].isdigit()
    monkeypatch.setattr("beeline.model.format.version", missing)
    assert library_version() == "source"


def test_any_flipped_bit_of_a_file_of_tensors_is_named_or_changes_nothing(tmp_path: Path) -> None:
    tensors = {"a": torch.tensor([[1.0, 2.0]]), "b": torch.tensor(3, dtype=torch.bfloat16), "none": torch.zeros(0, 2)}
    path, whole, named = tmp_path / "tensors", tensors_bytes(tensors, {"step": "7", "what": "test"}), 0
    for bit in range(8 * len(whole)):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        try:
            read = read_tensors(path)
        except UserError as error:
            named += str(path) in str(error)
        else:
            assert read.keys() == tensors.keys()
            assert all(torch.equal(read[name], tensor) for name, tensor in tensors.items())
    assert named > 0.8 * 8 * len(whole)
    path.write_bytes(whole)
    assert {**read_metadata(path), "sha256": ""} == {"step": "7", "what": "test", "sha256": ""}


def test_the_same_tensors_are_the_same_bytes() -> None:
    tensors = {"b": torch.ones(2), "a": torch.zeros(3)}
    assert len({tensors_bytes(tensors, {"step": "7", "what": "test", "more": "yes"}) for _ in range(20)}) == 1
