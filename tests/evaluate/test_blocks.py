"""Blocks of a page: what belongs together, which way a picture lies, and nothing from outside as HTML."""

from __future__ import annotations

import io

from PIL import Image

from beeline.evaluate.blocks import Card, Cards, Markup, PictureTable, Table, image, png_size


def png(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("L", (width, height)).save(out, "PNG")
    return out.getvalue()


def test_a_picture_is_as_wide_as_it_says_and_its_name_is_text() -> None:
    assert png_size(png(7, 3)) == (7, 3)
    shown = image(png(7, 3), 'a" onload="x')
    assert 'width="7" height="3" style="--w:7px"' in shown
    assert 'alt="a&quot; onload=&quot;x"' in shown
    assert [image(png(width, 2), "").split()[1] for width in (80, 81, 320, 321)] == [
        'class="small"', 'alt=""', 'alt=""', 'class="large"',
    ]  # fmt: skip


def test_every_group_of_rows_begins_anew() -> None:
    table = PictureTable(("a",), [(f"row {number}", ["x"]) for number in range(5)], together=2).html()
    rows = table.partition("<tbody>")[2].split("</tr>")[:5]
    assert ['class="begin"' in row for row in rows] == [True, False, True, False, True]


def test_columns_of_numbers_are_flush_right_and_text_is_escaped() -> None:
    shown = Table([["<b>", Markup("<i>5</i>")]], ("name", "value"), numbers=(1,)).html()
    assert '<td>&lt;b&gt;</td><td class="n"><i>5</i></td>' in shown
    assert '<th scope="col">name</th><th scope="col" class="n">value</th>' in shown


def test_a_number_is_good_or_bad_where_somebody_says() -> None:
    shown = Cards([Card("a", "1", good=True), Card("b", "2", good=False), Card("c", "3")]).html()
    assert [part.partition('"')[0] for part in shown.split('class="card number')[1:]] == [" good", " bad", ""]
