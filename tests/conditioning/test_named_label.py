"""Labels that are texts: asked for by name, and unknown ones told apart from those that training had."""

from __future__ import annotations

import numpy as np
import pytest

from beeline.conditioning.named_label import NamedLabel
from beeline.core.errors import UserError
from beeline.core.offers import Taking
from beeline.core.parts import describe_part, rebuild_part

TYPES = NamedLabel("cell_type", 3, 0.1, ("B", "NK", "T, naive"))


def test_names_stay_names_and_numbers_become_them() -> None:
    assert [TYPES.parse(text) for text in ("NK", "1", "T, naive")] == ["NK", "NK", "T, naive"]
    assert isinstance(TYPES, Taking)
    assert [TYPES.taken(value) for value in (0, np.int64(2), "B", None, 7)] == ["B", "T, naive", "B", None, 7]
    assert [int(TYPES.encode(value)) for value in ("B", "NK", 2)] == [0, 1, 2]
    numbered = NamedLabel("donor", 2, 0.1, ("1", "7"))
    assert [numbered.parse(text) for text in ("1", "7", "0")] == ["1", "7", "1"], "a name comes before a number"
    assert rebuild_part(describe_part(TYPES), "") == TYPES


@pytest.mark.parametrize("name", ["CD8 T cell", "naive", "Bs"])
def test_values_that_training_never_had_are_said_to_be_that(name: str) -> None:
    for ask in (TYPES.parse, TYPES.encode):
        with pytest.raises(UserError, match=f"cell_type={name}: no training cell was of it.*had B, NK, T, naive"):
            ask(name)
    with pytest.raises(UserError, match="the nearest is 'T, naive'"):
        TYPES.parse("T naive")
