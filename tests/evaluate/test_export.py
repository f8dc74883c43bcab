"""An export is what the engine draws, in equal shares of classes, however often it was stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beeline.cli.train import train
from beeline.core.errors import UserError
from beeline.core.files import read_json
from beeline.evaluate import export as module
from beeline.evaluate.export import export
from beeline.generate.engine import Request, Samples
from beeline.generate.load import load
from tests.conftest import FAST


def test_pieces_make_one_file_and_a_stopped_export_goes_on(
    small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PIECE", 10)
    engine = load(small_run)
    whole = export(engine, tmp_path / "one", 25, seed=3)

    def stop(done: int, total: int) -> None:
        if done == 20:
            raise KeyboardInterrupt

    home = tmp_path / "other"
    with pytest.raises(KeyboardInterrupt):
        export(engine, home, 25, seed=3, progress=stop)
    assert not list(home.glob("*.npz"))
    firsts: list[int] = []
    generate = engine.generate

    def counted(*arguments: Any, **more: Any) -> Samples:
        firsts.append(more.get("first", 0))
        return generate(*arguments, **more)

    monkeypatch.setattr(engine, "generate", counted)
    again = export(engine, home, 25, seed=3)
    assert firsts == [0, 20], "one image for its shape, then the missing piece alone"
    assert again.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in home.iterdir()) == sorted([again.name, again.with_suffix(".json").name])
    firsts.clear()
    assert export(engine, home, 25, seed=3) == again
    assert firsts == [0]
    assert export(engine, home, 25, seed=4) != again


def test_what_it_holds_is_what_evaluators_read(small_run: Path, tmp_path: Path) -> None:
    engine = load(small_run)
    path = export(engine, tmp_path, 24, seed=1)
    with np.load(path) as arrays:
        images, labels = arrays["arr_0"], arrays["arr_1"]
    assert (images.shape, images.dtype) == ((24, 8, 8, 1), np.uint8)
    assert labels.tolist() == [item % 10 for item in range(24)]
    expected = engine.generate([Request({"label": item % 10}) for item in range(24)], seed=1).examples
    assert np.abs(images.astype(int) - np.stack([each.array for each in expected])).max() <= 1
    record = read_json(path.with_suffix(".json"))
    assert (record["n"], record["seed"], record["passes"]) == (24, 1, 4)


def test_samples_that_are_no_images_are_refused(tmp_path: Path) -> None:
    run = train("waves", tmp_path / "waves", options={**FAST, "train.steps": 1})
    with pytest.raises(UserError, match="--export: needs 8-bit images"):
        export(load(run), tmp_path, 4)
