"""What is known of a sample and not told to the network."""

from __future__ import annotations

import numpy as np
import pytest

from beeline.conditioning.beside import Beside
from beeline.core.errors import UserError

TYPE = Beside("cell_type", ("B", "CD4 T", "NK"))


@pytest.mark.parametrize("read", [TYPE.parse, TYPE.taken, TYPE.encode])
def test_a_value_that_the_data_never_had_is_refused_with_the_nearest(read: object) -> None:
    assert callable(read)
    with pytest.raises(UserError, match=r"cell_type=NKK: no cell .* have B, CD4 T, NK; the nearest is 'NK'; leave it"):
        read("NKK")
    with pytest.raises(UserError, match=r"cell_type=Monocyte: .* have B, CD4 T, NK; leave it out where"):
        read("Monocyte")
    assert isinstance(read("NK"), type(TYPE.encode(None))) or read("NK") == "NK"


def test_nothing_and_several_are_left_alone_and_a_number_is_its_text() -> None:
    assert TYPE.taken(None) is None
    assert TYPE.taken(["NK", "B"]) == ["NK", "B"]
    plate = Beside("plate", ("1", "2"))
    assert (plate.taken(2), plate.taken(np.int64(1)), plate.taken("1")) == ("2", "1", "1")
    assert Beside("cell_type").parse("NKK") == "NKK", "of a model that was trained without knowing them"
    with pytest.raises(UserError, match="need one text"):
        TYPE.encode(["NK", "B"])
