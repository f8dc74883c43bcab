"""Durations carry their unit, and epochs follow from steps."""

from __future__ import annotations

import pytest

from beeline.core.errors import UserError
from beeline.core.units import Duration, amount, clock, operations


@pytest.mark.parametrize(
    ("text", "amount_", "unit"),
    [
        ("500 steps", 500, "steps"),
        ("1 step", 1, "steps"),
        ("100k samples", 100_000, "samples"),
        ("1.5M samples", 1_500_000, "samples"),
        ("20 epochs", 20, "epochs"),
        ("5m", 300, "seconds"),
        ("1.5 h", 5400, "seconds"),
        ("90s", 90, "seconds"),
    ],
)
def test_durations_are_read_with_their_unit(text: str, amount_: float, unit: str) -> None:
    assert Duration.parse(text) == Duration(amount_, unit)


@pytest.mark.parametrize(
    "text", ["500", "steps", "-3 steps", "0 epochs", "5 parsecs", "", "five steps", "1e13 steps", "1e400 steps"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="duration"):
        Duration.parse(text)


def test_e13_seven_million_steps_of_256_are_1399_epochs_of_imagenet() -> None:
    """E13: epochs = steps x batch / examples, not 300."""
    imagenet = 1_281_167
    assert round(7_000_000 * 256 / imagenet) == 1399
    steps = Duration(1399, "epochs").steps(256, imagenet)
    assert abs(steps - 7_000_000) < 5_005
    assert Duration(1400, "epochs").steps(2048, imagenet) == pytest.approx(876_000, rel=1e-3)


def test_parts_of_a_step_are_rounded_up() -> None:
    assert Duration(1, "epochs").steps(64, 100) == 2
    assert Duration(65, "samples").steps(64, 100) == 2
    assert Duration(64, "samples").steps(64, 100) == 1


@pytest.mark.parametrize("text", ["2.007k steps", "4.014k samples"])
def test_decimals_are_whole_steps_where_they_should_be(text: str) -> None:
    """2.007 x 1000 is 2007.0000000000002 in floating point, which is no step more."""
    assert Duration.parse(text).steps(2, 200) == 2007


def test_numbers_for_people() -> None:
    assert [amount(n) for n in (7, 1234, 1_272_324, 2.5e9)] == ["7", "1,234", "1.27 M", "2.5 G"]
    assert [clock(s) for s in (7, 750, 3723)] == ["0:07", "12:30", "1:02:03"]


def test_operations_stand_apart_from_their_number() -> None:
    assert [operations(n) for n in (1234, 2.5e9)] == ["1,234 FLOP", "2.5 GFLOP"]
