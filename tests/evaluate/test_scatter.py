"""Points, names, violins and tiles are where they belong, and names never cover one another."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest

from beeline.evaluate.drawing import Drawing
from beeline.evaluate.labels import elided, placed, width_of
from beeline.evaluate.scatter import Scatter
from beeline.evaluate.tiles import Tiles
from beeline.evaluate.violins import Violins, shape_of

FRAME = (0.0, 0.0, 340.0, 300.0)


def drawn(picture: Scatter | Violins | Tiles) -> Drawing:
    drawing = picture.drawing()
    assert drawing is not None
    return drawing


def dots(drawing: Drawing) -> list[tuple[float, float]]:
    paths = re.findall(r'class="cloud ink\d" d="([^"]*)"', "".join(drawing.parts))
    return [(float(x), float(y)) for path in paths for x, y in re.findall(r"M([\d.]+) ([\d.]+)h0", path)]


def test_names_of_a_crowd_never_meet_and_stay_inside_and_all_that_have_room_are_there() -> None:
    random = np.random.default_rng(0)
    crowd = [(170 + 20 * x, 150 + 20 * y, f"GENE{place}") for place, (x, y) in enumerate(random.normal(size=(14, 2)))]
    cloud = [(x, y) for x, y, _ in crowd]
    found = placed(crowd, cloud, FRAME)
    assert [each.name for each in found][:8] == [name for _, _, name in crowd][:8]
    boxes = [(each.x, each.y - 8.5, each.x + width_of(each.name), each.y + 3) for each in found]
    for one, other in itertools.combinations(boxes, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
    for left, top, right, bottom in boxes:
        assert left >= 0 <= top
        assert right <= FRAME[2]
        assert bottom <= FRAME[3]
    assert found == placed(crowd, cloud, FRAME)


def test_a_lone_name_is_beside_its_point_and_one_at_the_edge_turns_inside() -> None:
    (found,) = placed([(100.0, 100.0, "A")], [(100.0, 100.0)], FRAME)
    assert math.dist(found.point, found.end) < 9
    assert len(found.parts()) == 1, "no line is needed"
    (found,) = placed([(339.0, 299.0, "LONGNAME")], [], FRAME)
    assert found.x + width_of("LONGNAME") <= FRAME[2]
    assert placed([(10.0, 10.0, "A")], [], (0, 0, 5, 5)) == [], "there is no room at all"


def test_long_names_are_cut() -> None:
    assert elided("STAT1", 100) == "STAT1"
    assert elided("APOBEC3A_ENSG00000128383", 90).endswith("\u2026")
    assert width_of(elided("APOBEC3A_ENSG00000128383", 90)) <= 90


def test_equal_values_lie_on_the_diagonal_and_what_is_not_finite_is_left_out() -> None:
    points = [(x, x) for x in (-1.0, 0.0, 0.5, 2.0)]
    drawing = drawn(Scatter("t", {"a": [*points, (math.nan, 1.0)]}, "x", "y", diagonal="equal"))
    found = re.search(r'level0" x1="([\d.]+)" y1="([\d.]+)" x2="([\d.]+)" y2="([\d.]+)"', "".join(drawing.parts))
    assert found is not None
    x1, y1, x2, y2 = map(float, found.groups())
    assert len(dots(drawing)) == 4
    for x, y in dots(drawing):
        assert (y - y1) / (y2 - y1) == pytest.approx((x - x1) / (x2 - x1), abs=2e-3)
    assert Scatter("t", {"a": [(math.nan, 1.0)]}, "x", "y").html() == ""
    assert "4 points of a" in drawing.words


def test_two_pictures_of_the_same_limits_have_the_same_axes_and_what_lies_beyond_is_at_the_edge() -> None:
    limits = (-2.0, 2.0, 0.0, 10.0)
    one, other = (
        drawn(Scatter("t", {"a": points}, "x", "y", limits=limits))
        for points in ([(0.0, 1.0)], [(0.0, 1.0), (9.0, 99.0)])
    )
    assert dots(one)[0] == dots(other)[0]
    assert re.findall(r"<text.*?</text>", "".join(one.parts)) == re.findall(r"<text.*?</text>", "".join(other.parts))
    right, top = dots(other)[1]
    assert right <= 340 - 12
    assert top >= 22 - 0.05


def test_no_group_of_a_mixture_hides_the_others() -> None:
    random = np.random.default_rng(0)
    groups = {name: [tuple(each) for each in random.normal(size=(40, 2))] for name in "ab"}
    parts = "".join(drawn(Scatter("t", groups, "x", "y", mixed=True)).parts)
    order = re.findall(r'cloud ink(\d)"', parts)
    assert order == ["0", "1"] * 8
    assert len(dots(drawn(Scatter("t", groups, "x", "y", mixed=True)))) == 80


def test_a_violin_is_as_wide_as_the_density_and_stays_above_0_where_values_do() -> None:
    random = np.random.default_rng(0)
    values = np.concatenate([np.zeros(300), random.normal(4, 0.3, 100)])
    shape = shape_of(values)
    at, density = np.array(shape.at), np.array(shape.density)
    assert at[0] == 0
    assert density.argmax() == 0
    assert shape.median == 0
    assert density[(abs(at - 2)).argmin()] < 0.05
    assert 0.1 < density[(abs(at - 4)).argmin()] < 0.9
    assert shape_of(values - 1).at[0] < -1, "values of any sign taper at both ends"
    normal = shape_of(random.normal(10, 1, 4000))
    wide = np.array(normal.at)[np.array(normal.density) > 0.5]
    assert wide[-1] - wide[0] == pytest.approx(2.355, rel=0.15), "width at half of the height"
    constant = shape_of(np.full(5, 3.0))
    assert (constant.at, constant.median, constant.n) == ([3.0, 3.0], 3.0, 5)


def test_violins_of_a_column_stand_side_by_side_in_their_order_with_their_medians() -> None:
    low, high = (shape_of(np.linspace(a, a + 1, 50)) for a in (0.0, 4.0))
    drawing = drawn(Violins("t", {"G1": {"control": low, "real": high}, "G2": {"real": low}}, "v", inks={"real": 1}))
    marks = re.findall(r'class="dot fill(\d)" cx="([\d.]+)" cy="([\d.]+)"', "".join(drawing.parts))
    assert [ink for ink, _, _ in marks] == ["0", "1", "1"]
    assert float(marks[0][1]) < float(marks[1][1]) < float(marks[2][1])
    assert float(marks[0][2]) > float(marks[1][2]), "higher values are higher up"
    assert marks[0][2] == marks[2][2]
    assert "G1: control 0.5, real 4.5" in drawing.words
    assert Violins("t", {}, "v").html() == ""


def test_tiles_are_the_darker_the_nearer_and_the_own_one_is_framed() -> None:
    tiles = Tiles("t", ["a", "b"], ["a", "b", "c"], [[1, 2, 3], [3, 1, None]], [0, 1], 3)
    parts = "".join(drawn(tiles).parts)
    shades = [float(each) for each in re.findall(r'fill-opacity="([\d.]+)"', parts)]
    assert len(shades) == 5
    assert shades[0] == shades[4] == 1
    assert shades[0] > shades[1] > shades[2] > 0
    left = [float(each) for each in re.findall(r'class="own" x="([\d.]+)"', parts)]
    assert left[1] - left[0] == pytest.approx(30)
    assert "a: c is number 3 of 3" in parts
    assert drawn(tiles).words == "Rank of the own real change among 3: a 1, b 1"
    assert Tiles("t", [], ["a", "b"], [], [], 2).html() == ""
    many = Tiles(
        "t",
        [f"GENE{row}" for row in range(24)],
        [f"G{row}" for row in range(24)],
        np.ones((24, 24)).tolist(),
        list(range(24)),
        24,
    )
    edges = re.findall(r'x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', "".join(drawn(many).parts))
    assert max(float(x) + float(width) for x, width in edges) <= 340


def test_a_picture_in_a_page_is_escaped_and_alone_follows_the_theme() -> None:
    scatter = Scatter(
        "a < b", {"<i>": [(0.0, 1.0)], "k": [(1.0, 0.0)]}, "x & y", "y", "How <b>to</b> read.", [(0.0, 1.0, "<g>")]
    )
    page, alone = scatter.html(), drawn(scatter).svg()
    for text in (page, alone):
        assert "<i>k" not in text.replace("<i class", "")
        assert "&lt;g&gt;" in text
    assert "How &lt;b&gt;to&lt;/b&gt; read." in page
    assert "prefers-color-scheme:dark" in alone
    assert "#1f5fa8" in alone
    assert "#7db9f7" in alone, "the second colour, light and dark"
    assert ".legend" not in alone
