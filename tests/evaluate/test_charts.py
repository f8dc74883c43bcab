"""Charts put values where they belong, whatever the values are."""

from __future__ import annotations

import math
import re

import pytest

from beeline.evaluate.charts import Bars, Chart
from beeline.evaluate.run_charts import loss_unit, time_chart, training_charts
from beeline.evaluate.scales import enclosing, linear_ticks, log_ticks, short, spread, tight

RANGES = [(0.0, 1.0), (0.31, 1.74), (1.0, 1.0), (0.0, 0.0), (-3e-7, 2e-7), (10, 1300), (-5.0, -5.0)]


@pytest.mark.parametrize(("low", "high"), RANGES)
def test_ticks_are_round_and_enclose(low: float, high: float) -> None:
    ticks = linear_ticks(low, high)
    assert ticks[0] <= low
    assert ticks[-1] >= high
    assert 2 <= len(ticks) <= 10
    assert list(ticks) == sorted(set(ticks))
    step = ticks[1] - ticks[0]
    assert re.fullmatch(r"[125]\.0+e[+-]\d+", f"{step:.6e}"), step


@pytest.mark.parametrize(("low", "high"), [(0.52, 45.6), (1.0, 100.0), (3e-9, 4e4), (0.1, 9.9), (2.0, 70.0)])
def test_logarithmic_ticks_enclose_and_are_few(low: float, high: float) -> None:
    ticks = log_ticks(low, high)
    assert ticks[0] <= low * (1 + 1e-9)
    assert ticks[-1] >= high * (1 - 1e-9)
    assert 2 <= len(ticks) <= 10
    for tick in ticks:
        assert f"{tick:e}"[0] in "125"


def test_scales_are_logarithmic_where_values_span_decades() -> None:
    assert enclosing([0.01, 10.0]).logarithmic
    assert not enclosing([1.0, 10.0]).logarithmic
    assert not enclosing([0.0, 1000.0]).logarithmic
    assert not enclosing([0.01, 10.0], zero=True).logarithmic
    assert enclosing([3.0, 4.0], zero=True).low == 0
    assert enclosing([-4.0, -3.0], zero=True).high == 0
    scale = enclosing([1.0, 100.0])
    assert scale.place(10.0) == pytest.approx(0.5)
    assert tight([4, 8, 16], logarithmic=True).place(8) == pytest.approx(0.5)
    assert tight([4, 8, 16], logarithmic=True).ticks == (4, 8, 16)
    assert len(tight(range(1, 51), logarithmic=True).ticks) < 16
    assert tight([4, 8, 12, 16, 20, 50], logarithmic=True).ticks == (4, 8, 12, 16, 20, 50)
    assert tight([0.4, 2.04, 2.15, 2.26], logarithmic=True).ticks == (0.4, 2.26), "long numbers need more room"
    for logarithmic in (False, True):
        assert 0 < tight([7.0], logarithmic).place(7.0) < 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.9874, "0.987"), (12.34, "12.3"), (1234.0, "1,234"), (25000, "25k"), (1.27e6, "1.27M"), (2e-5, "2e-5"),
        (-1.5e-4, "-1.5e-4"), (0, "0"), (None, "\u2013"), (math.nan, "\u2013"),
        (math.inf, "\u2013"), (0.9, "0.9"), (999.6, "1,000"),
        (999960.0, "1M"),
    ],
)  # fmt: skip
def test_numbers_are_short(value: float | None, text: str) -> None:
    assert short(value) == text


def test_measured_numbers_keep_their_zeros() -> None:
    assert [short(value, full=True) for value in (0.9, 120.0, 1.0, 0.0)] == ["0.900", "120", "1.00", "0"]


def test_spread_keeps_both_ends() -> None:
    assert spread(3, 8) == [0, 1, 2]
    assert spread(0, 8) == []
    assert (spread(100, 8)[0], spread(100, 8)[-1], len(spread(100, 8))) == (0, 99, 8)


def drawn(chart: Chart) -> list[tuple[float, float]]:
    (points,) = re.findall(r'<polyline class="curve ink0" points="([^"]*)"', chart.html())
    return [tuple(map(float, pair.split(","))) for pair in points.split()]  # type: ignore[misc]


def test_curves_lie_where_their_values_are() -> None:
    points = drawn(Chart("t", {"a": [(0, 0), (5, 1), (10, 0.5)]}, "x", "y"))
    (x0, y0), (x1, y1), (x2, y2) = points
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.11)
    assert y2 - y1 == pytest.approx((y0 - y1) / 2, abs=0.11), "down is larger in a picture"
    assert y1 < y2 < y0


def test_charts_leave_out_what_is_not_finite_and_draw_nothing_of_nothing() -> None:
    assert Chart("t", {"a": [(0, 1)]}, "x", "y").html() == ""
    assert Chart("t", {}, "x", "y").html() == ""
    assert Bars("t", [0, 1], {"a": [None]}, "x", "y").html() == ""
    assert len(drawn(Chart("t", {"a": [(0, 1), (1, math.nan), (2, math.inf), (3, 2)]}, "x", "y"))) == 2
    assert len(drawn(Chart("t", {"a": [(1, 1.0), (2, 1.0)]}, "x", "y"))) == 2
    assert len(drawn(Chart("t", {"a": [(0, 1), (1, 1.0), (2, 1.0)]}, "x", "y", log_x=True))) == 2


def test_long_logs_are_thinned_to_means() -> None:
    points = drawn(Chart("t", {"a": [(step, step % 2) for step in range(2000)]}, "x", "y"))
    assert len(points) <= 240
    assert len({y for _, y in points[:-1]}) <= 2


def test_the_pointer_reads_every_series() -> None:
    page = Chart("t", {"a": [(0, 1), (1, 2), (2, 3)], "b": [(1, 7), (2, 8)]}, "step", "y").html()
    assert "<title>step 0: a 1</title>" in page
    assert "<title>step 1: a 2, b 7</title>" in page


def test_bars_are_as_high_as_their_values() -> None:
    page = Bars("t", [0, 0.5, 1], {"a": [2.0, 1.0], "b": [None, 4.0]}, "time", "loss").html()
    heights = [float(text) for text in re.findall(r'<rect class="bar fill\d" [^>]*height="([\d.]+)"', page)]
    assert len(heights) == 3
    assert heights[0] == pytest.approx(2 * heights[1], abs=0.2)
    assert heights[2] == pytest.approx(2 * heights[0], abs=0.2)
    assert "time 0.5 to 1: b 4" in page


def test_loss_by_time_is_of_the_last_tenth_of_the_log() -> None:
    log = [{"step": step, "loss_by_time": [float(step), None]} for step in range(20)]
    log[3]["held_out_loss_by_time"] = [5.0, 6.0]
    bars = time_chart(log, {"held_out_loss_by_time": {"values": [0.0, 0.0]}}, "loss")
    assert bars.series == {"training": [18.5, None], "held out": [5.0, 6.0]}
    assert time_chart(log[:3], {"held_out_loss_by_time": {"values": [7.0, 8.0]}}, "").series["held out"] == [7.0, 8.0]
    assert time_chart([], {}, "loss").html() == ""


def test_a_bound_is_told_in_bits_and_other_losses_are_not() -> None:
    log = [{"step": step, "loss": 1.0 / step, "loss_by_time": [1.0, 2.0]} for step in (1, 2, 3)]
    for loss, words in (("vlb", "variational bound, bits a number"), ("mse", "mean loss a sample")):
        unit = loss_unit({"loss": loss})
        assert words in training_charts(log, unit)[0].html()
        assert words in time_chart(log, {}, unit).html()


def test_a_log_without_a_measurement_has_no_chart_of_it() -> None:
    log = [{"step": step, "loss": 1.0 / step, "held_out_loss": None} for step in (1, 2, 3)]
    pages = [chart.html() for chart in training_charts(log, "loss")]
    assert [bool(page) for page in pages] == [True, False, False, False, False]
    assert "held out" not in pages[0]
