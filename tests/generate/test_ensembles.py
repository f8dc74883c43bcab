"""What draws say, element by element: known ensembles have the known answers, in the file too."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from beeline.core.data import Example, Geometry
from beeline.core.errors import UserError
from beeline.data.field_description import FieldAxis, FieldChannel, FieldDescription, FieldMapping
from beeline.data.field_output import as_dataset, classic_bytes
from beeline.data.field_summaries import by_geometry, summarised
from beeline.generate.engine import Request
from beeline.generate.ensembles import check_summary, described, summaries
from beeline.generate.load import load
from beeline.modalities.gaussian_fields import GaussianFields

KNOWN = FieldDescription(
    (FieldAxis("y", 2, "km", (0.0, 1.0)), FieldAxis("x", 3)),
    (FieldChannel("u", "m/s"), FieldChannel("v")),
    (FieldMapping("z", (FieldChannel("z", "m"),), ("y", "x")),),
    (FieldChannel("level", "hPa"),),
)


def ladder(draws: int, inputs: int = 2) -> np.ndarray:
    """(N, m, 2, 3, 2) draws 1, 2, ..., m in every cell in an order of its own, ten times that in the second channel."""
    random = np.random.default_rng(0)
    one = random.permuted(np.broadcast_to(np.arange(1.0, draws + 1), (inputs, 2, 3, draws)), axis=-1)
    return np.moveaxis(np.stack([one, 10 * one], axis=-1), 3, 1)


def test_a_ladder_of_19_has_its_first_middle_and_last_step_as_quantiles() -> None:
    found = summaries(ladder(19))
    assert list(found.levels) == [0.05, 0.5, 0.95]
    assert found.quantiles.shape == (2, 3, 2, 3, 2)
    for place, wanted in enumerate((1, 10, 19)):
        np.testing.assert_allclose(found.quantiles[:, place, ..., 0], wanted)
        np.testing.assert_allclose(found.quantiles[:, place, ..., 1], 10 * wanted)
    np.testing.assert_allclose(found.mean[..., 1], 100)
    assert found.deviation is not None
    np.testing.assert_allclose(found.deviation[..., 0], np.arange(19).std(ddof=1))
    assert found.note == ""


def test_levels_that_few_draws_do_not_have_are_left_out_by_name_or_refused() -> None:
    found = summaries(ladder(18))
    assert list(found.levels) == [0.5]
    np.testing.assert_allclose(found.quantiles[:, 0, ..., 0], 9.5)
    assert found.note == "18 draws have no quantile at 0.05 and 0.95: it needs 19"
    one = summaries(ladder(1))
    assert one.deviation is None
    np.testing.assert_allclose(one.quantiles[:, 0], one.mean)
    engine: Any = SimpleNamespace(modality=GaussianFields())
    with pytest.raises(UserError, match=r"8 draws have no quantile at 0\.1: it needs 9"):
        check_summary(engine, [Request({})] * 8, (0.5, 0.1))
    check_summary(engine, [Request({})] * 9, (0.5, 0.1, 0.9))
    for level in (0.0, 1.0, -3.0, float("nan")):
        with pytest.raises(UserError, match=r"quantile .*: must lie between 0 and 1"):
            check_summary(engine, [Request({})] * 8, (level,))


def test_a_summary_is_of_draws_of_one_condition_of_fields(small_run: Path) -> None:
    engine: Any = SimpleNamespace(modality=GaussianFields())
    maps = [{"under": np.zeros((16, 16, 1))}, {"under": np.ones((16, 16, 1))}]
    with pytest.raises(UserError, match="several values of one were given"):
        check_summary(engine, [Request(each) for each in maps], None)
    with pytest.raises(UserError, match="several --cfg-scale were given"):
        check_summary(engine, [Request({}, None, 1.0), Request({}, None, 2.0)], None)
    with pytest.raises(UserError, match="summary: is of fields on a grid"):
        check_summary(load(small_run), [Request({})], None)


def test_files_hold_the_same_numbers_with_coordinates_units_and_the_truth(tmp_path: Path) -> None:
    xarray = pytest.importorskip("xarray", reason="xarray is not installed (pip install 'beeline[fields]')")
    found, truths = summaries(ladder(19)), np.random.default_rng(1).normal(size=(2, 2, 3, 2))
    truths[0, 0, 0, 0] = np.nan
    inputs = [Example(each, {"z": np.full((2, 3, 1), 7.0), "params": {"level": 500.0}}) for each in truths]
    whole = summarised(found, inputs, KNOWN, {"seed": 3}, truths, [4, 9])
    (tmp_path / "ensembles.nc").write_bytes(classic_bytes(whole))
    for said in (as_dataset(whole), xarray.load_dataset(tmp_path / "ensembles.nc", engine="scipy")):
        assert said["u_mean"].dims == said["u_truth"].dims == said["z"].dims == ("input", "y", "x")
        assert said["u_quantile"].dims == ("input", "quantile", "y", "x")
        assert said["input"].values.tolist() == [4, 9]
        assert said["y"].attrs["units"] == "km"
        assert "x" not in said.coords, "its coordinate is not known"
        assert said["v_deviation"].attrs == {}
        assert {said[f"u_{kind}"].attrs["units"] for kind in ("mean", "deviation", "quantile", "truth")} == {"m/s"}
        np.testing.assert_allclose(said["u_truth"], truths[..., 0], rtol=1e-6)
        np.testing.assert_allclose(said["v_quantile"].sel(quantile=0.95), 190)
        assert said["level"].values.tolist() == [500, 500]
        assert (said.attrs["seed"], said.attrs["draws"]) == (3, 19)
        assert "realisation" not in said.dims
    alone = as_dataset(summarised(summaries(ladder(4, 1)), inputs[:1], KNOWN, {}))
    assert alone["u_mean"].dims == ("y", "x")
    assert alone["u_quantile"].dims == ("quantile", "y", "x")
    assert "u_truth" not in alone
    assert "4 draws have no quantile" in alone.attrs["quantile_note"]


def test_grids_without_names_lie_at_their_spacing() -> None:
    geometry = Geometry(("d",), ("K",), (0.5, 2.0), "km", (True, False))
    known = by_geometry(geometry, (3, 2), {"under": 1, "wind": 2}, [FieldChannel("law_0")])
    assert known.dims == ("y", "x")
    assert [axis.coordinate for axis in known.axes] == [(0.0, 0.5, 1.0), (0.0, 2.0)]
    assert [axis.periodic for axis in known.axes] == [True, False]
    assert [[each.name for each in mapping.channels] for mapping in known.maps] == [["under"], ["wind_0", "wind_1"]]
    assert by_geometry(Geometry(("d",), ("",), (1.0,) * 4), (2,) * 4, {}, []).dims[0] == "axis_0"
    modality = GaussianFields()
    engine: Any = SimpleNamespace(modality=modality, codec=SimpleNamespace(conditions=modality.conditions()))
    example = Example(np.zeros((16, 16, 1)), {"under": np.ones((16, 16, 1)), "law": [1.5, -2.0]})
    told, (plain,) = described(engine, [example])
    assert [each.name for each in told.parameters] == ["law_0", "law_1"]
    assert plain.condition["params"] == {"law_0": 1.5, "law_1": -2.0}
    assert np.array_equal(plain.condition["under"], np.ones((16, 16, 1)))
