"""Strips: each panel holds what its head says, and one scale really is one."""

from __future__ import annotations

import numpy as np
import pytest

from beeline.conditioning.coarse_map import CoarseMap
from beeline.conditioning.field_map import FieldMap
from beeline.conditioning.points import Points
from beeline.core.data import Example, Geometry
from beeline.core.protocols import Condition
from beeline.data.field_strips import LinePanel, MapPanel, Sheet, scale_of
from beeline.evaluate.field_strips import INPUTS, answers, strips

RANDOM = np.random.default_rng(0)
GEOMETRY = Geometry(("u", "p"), ("m/s", "Pa"), (1.0, 1.0))
MAP = FieldMap("z", 1, units=("m",))


def made(shape: tuple[int, ...], inputs: int, draws: int) -> tuple[list[Example], list[Example]]:
    """Held-out fields under a map of 1e5, and draws that go round them; the second channel is a thousand times it."""
    scale = np.array([1.0, 1000.0])
    held_out = [
        Example(RANDOM.normal(size=(*shape, 2)) * scale, {"z": 1e5 + RANDOM.normal(size=(*shape, 1))})
        for _ in range(inputs)
    ]
    samples = [Example(RANDOM.normal(size=(*shape, 2)) * scale) for _ in range(inputs * draws)]
    return held_out, samples


def column(sheet: Sheet, head: str) -> list[MapPanel]:
    found = [panel for panel in sheet.panels if panel.head == head]
    assert all(isinstance(panel, MapPanel) for panel in found)
    return [panel for panel in found if isinstance(panel, MapPanel)]


def test_truths_draws_and_means_have_one_scale_and_inputs_and_deviations_their_own() -> None:
    held_out, samples = made((6, 5), 9, 5)
    found = strips(answers(held_out, samples, GEOMETRY, INPUTS), [MAP], ("y", "x"))
    assert list(found) == ["u", "p"]
    for place, (channel, units) in enumerate((("u", "m/s"), ("p", "Pa"))):
        sheet = found[channel]
        assert [panel.head for panel in sheet.rows[0][1]] == [
            "input z", "truth", "draw 1", "draw 2", "draw 3", "mean of 5", "deviation",
        ]  # fmt: skip
        assert [name for name, _ in sheet.rows] == ["input 0", "input 2", "input 4", "input 6"], "evenly spread"
        shown = [panel for head in ("truth", "draw 1", "draw 2", "draw 3") for panel in column(sheet, head)]
        shared = {panel.scale for panel in (*shown, *column(sheet, "mean of 5"))}
        assert shared == {scale_of([panel.cells for panel in shown], units)}, "one, over channels, rows and columns"
        for row, number in enumerate((0, 2, 4, 6)):
            members = np.stack([samples[draw * 9 + number].array[..., place] for draw in range(5)])
            assert np.array_equal(column(sheet, "truth")[row].cells, held_out[number].array[..., place])
            assert np.array_equal(column(sheet, "draw 2")[row].cells, members[1])
            np.testing.assert_allclose(column(sheet, "mean of 5")[row].cells, members.mean(axis=0))
            np.testing.assert_allclose(column(sheet, "deviation")[row].cells, members.std(axis=0, ddof=1))
            assert np.array_equal(column(sheet, "input z")[row].cells, held_out[number].condition["z"][..., 0])
        (own,), (of_input,) = ({panel.scale for panel in column(sheet, head)} for head in ("deviation", "input z"))
        assert own.low == 0.0
        assert own.units == units
        assert of_input.units == "m"
        assert of_input.low > 9e4
        (together,) = shared
        assert f"{together.text} (99 % of the cells" in sheet.note
        assert f"has its own, {own.text}" in sheet.note
        assert "4 of 9 held-out inputs, evenly spread, with 3 of 5 draws for each" in sheet.note


def test_one_draw_has_no_mean_and_what_was_not_observed_no_colour() -> None:
    held_out, samples = made((4, 4), 3, 1)
    seen = np.ones((4, 4), dtype=bool)
    seen[0, 0] = False
    held_out[1] = Example(np.where(seen[..., None], held_out[1].array, -9e9), {}, observed=seen)
    sheet = strips(answers(held_out, samples, GEOMETRY, INPUTS), [MAP], ("y", "x"))["u"]
    assert [panel.head for panel in sheet.rows[0][1]] == ["input z", "truth", "draw 1"]
    assert np.isnan(column(sheet, "truth")[1].cells[0, 0])
    assert column(sheet, "truth")[1].scale.low > -10, "what stands in a cell that was not observed counts nowhere"
    assert np.isnan(column(sheet, "input z")[1].cells).all(), "an input without its map"
    assert "deviation" not in sheet.note


def test_of_solids_the_middle_slice_is_shown_and_said_so() -> None:
    held_out, samples = made((5, 4, 3), 2, 3)
    geometry = Geometry(("u", "p"), ("m/s", "Pa"), (1.0,) * 3)
    sheet = strips(answers(held_out, samples, geometry), [MAP], ("time", "y", "x"))["u"]
    assert np.array_equal(column(sheet, "truth")[1].cells, held_out[1].array[2, ..., 0])
    deviation = np.stack([samples[draw * 2].array[2, ..., 0] for draw in range(3)]).std(axis=0, ddof=1)
    np.testing.assert_allclose(column(sheet, "deviation")[0].cells, deviation)
    assert sheet.note.endswith("Shown is the middle slice (time: cell 2 of 5, from 0).")


def test_of_lines_the_mean_has_a_band_of_one_deviation() -> None:
    held_out, samples = made((7,), 4, 6)
    sheet = strips(answers(held_out, samples, Geometry(("u", "p"), ("", ""), (1.0,))), [MAP], ("x",))["p"]
    rows = [[panel for panel in row if isinstance(panel, LinePanel)] for _, row in sheet.rows]
    assert [panel.head for panel in rows[0]] == ["input z", "draws, truth", "mean, truth"]
    assert len({panel.scale for row in rows for panel in row[1:]}) == 1
    members = np.stack([samples[draw * 4 + 2].array[:, 1] for draw in range(6)])
    mean, deviation = members.mean(axis=0), members.std(axis=0, ddof=1)
    band = rows[2][2].band
    assert band is not None
    np.testing.assert_allclose(band, (mean - deviation, mean + deviation))
    np.testing.assert_allclose(rows[2][2].lines, (held_out[2].array[:, 1], mean))
    assert len(rows[2][1].lines) == 4, "three draws, then the truth"
    edges = [each for row in rows for each in row[2].band or ()]
    assert rows[0][1].scale.high >= max(edge.max() for edge in edges)


def test_coarse_maps_are_shown_and_scattered_points_are_not() -> None:
    held_out, samples = made((4, 4), 2, 1)
    held_out = [Example(each.array, {"coarse": each.array[::2, ::2], "seen": np.zeros((3, 3))}) for each in held_out]
    conditions: list[Condition] = [CoarseMap("coarse", (1, 1), channels=2), Points("seen", 2)]
    sheet = strips(answers(held_out, samples, GEOMETRY, INPUTS), conditions, ("y", "x"))["u"]
    assert [panel.head for panel in sheet.rows[0][1]] == ["input coarse 0", "input coarse 1", "truth", "draw 1"]
    assert column(sheet, "input coarse 1")[0].cells.shape == (2, 2)


def test_samples_beyond_whole_rounds_are_left_out() -> None:
    held_out, samples = made((3, 3), 4, 2)
    found = answers(held_out, samples[:7], GEOMETRY)
    assert found.members.shape == (4, 1, 3, 3, 2)
    few = answers(held_out, samples[:2], GEOMETRY)
    assert few.numbers.tolist() == [0, 2]
    assert np.array_equal(few.members[1, 0], samples[1].array)
    assert few.truths == pytest.approx(np.stack([held_out[0].array, held_out[2].array]))
