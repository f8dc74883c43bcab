"""Texts made of parts, where quotes keep together what a part holds."""

from __future__ import annotations

import pytest

from beeline.core.errors import UserError
from beeline.core.quoting import split_outside, unquoted


def test_separators_within_quotes_separate_nothing() -> None:
    assert split_outside('a="x, y" , b=z,"c,"', ",", "here") == ['a="x, y"', "b=z", '"c,"']
    assert split_outside('"a=b"=2=3', "=", "here", most=1) == ['"a=b"', "2=3"]
    assert split_outside("a,,b", ",", "here") == ["a", "", "b"]
    assert [unquoted(each) for each in ('"x, y"', '"a ""b"" c"', '""', "plain", 'x "y"')] == [
        *("x, y", 'a "b" c', "", "plain", 'x "y"')
    ]


def test_a_quote_inside_a_word_is_a_letter() -> None:
    assert split_outside('size=3" disc,kind=a', ",", "here") == ['size=3" disc', "kind=a"]


@pytest.mark.parametrize("text", ['a="x', 'a="x, y,b=z', '"', 'a="x"y,b=z', 'a="x,b="y"'])
def test_a_quote_that_is_not_closed_is_told(text: str) -> None:
    with pytest.raises(UserError, match=r"^here .*a double quote is not closed"):
        split_outside(text, ",", "here")
