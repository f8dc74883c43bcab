"""Samples of another shape: a larger domain, or finer cells of the same."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from beeline.conditioning.coarse_map import CoarseMap
from beeline.conditioning.field_beside import FieldPoints
from beeline.conditioning.field_map import FieldMap
from beeline.conditioning.map import AlignedMap
from beeline.core.errors import UserError
from beeline.data.field_description import FieldAxis
from beeline.data.field_places import placed
from beeline.data.transforms import FieldTransforms
from beeline.data.whitening import Whitening
from beeline.generate.asking import laid_out, look_over
from beeline.model.codec import Codec
from beeline.samplers.config import SampleConfig
from beeline.tokenizers.grid import GridTokenizer


def codec(tokenizer: GridTokenizer, *conditions: Any) -> Codec:
    """Trained on 8 x 12 cells, and now and then on others."""
    forms = [((4, 4), 2), ((8, 12), 90), ((16, 12), 1)]
    return cast(Codec, SimpleNamespace(tokenizer=tokenizer, forms=forms, conditions=conditions, normaliser=None))


def test_finer_cells_of_the_same_domain_lie_evenly_about_those_of_training() -> None:
    own = codec(GridTokenizer((2, 2)))
    trained, fine = laid_out(own, (8, 12), "trained"), laid_out(own, (16, 24), "trained")
    assert trained.coords is not None
    assert fine.coords is not None
    assert torch.equal(trained.coords, cast(Any, GridTokenizer((2, 2)).blank((8, 12)).coords))
    four = fine.coords[0].reshape(4, 2, 6, 2, 2)
    torch.testing.assert_close(four.mean(dim=(1, 3)).reshape(1, -1, 2), trained.coords)
    assert fine.coords.min() == -0.25
    assert fine.layout[0].extents == (8, 12), "as many tokens as the shape has patches"


def test_larger_domains_go_on_with_cells_as_they_were() -> None:
    plain = GridTokenizer((2, 2)).blank((16, 24))
    found = laid_out(codec(GridTokenizer((2, 2))), (16, 24), "cells")
    assert plain.coords is not None
    assert torch.equal(cast(Any, found.coords), plain.coords)


def test_a_circle_closes_after_what_it_was_in_training() -> None:
    own = codec(GridTokenizer((2, 2), periodic=(False, True)))
    for shape, cells, trained in (((16, 24), 12.0, 6.0), ((8, 12), 6.0, 6.0)):
        assert laid_out(own, shape, "cells").layout[0].period == (None, cells)
        assert laid_out(own, shape, "trained").layout[0].period == (None, trained)


def test_there_are_two_domains() -> None:
    with pytest.raises(UserError, match="domain fine: need cells or trained"):
        SampleConfig(domain=cast(Any, "fine"))


@pytest.mark.parametrize(
    ("condition", "why"),
    [
        (AlignedMap("z", 4, shown="gradient", given=1), "z is shown as differences from cell to cell"),
        (CoarseMap("low", (1, 1)), "low is attended to by its place among cells"),
    ],
)
def test_conditions_that_go_by_the_size_of_cells_have_none_of_another_size(condition: Any, why: str) -> None:
    own = codec(GridTokenizer((2, 2)), condition)
    with pytest.raises(UserError, match=why):
        laid_out(own, (16, 24), "trained")
    assert laid_out(own, (8, 12), "trained").layout[0].extents == (4, 6)


def test_whitened_fields_have_no_cells_of_another_size() -> None:
    own = codec(GridTokenizer((2, 2)))
    cast(Any, own).normaliser = Whitening(FieldTransforms(("zscore",)), 0.25, (False, False))
    with pytest.raises(UserError, match=r"fields are whitened \(whiten 0.25\) by waves a cell"):
        laid_out(own, (16, 24), "trained")
    assert laid_out(own, (16, 24), "cells").layout[0].extents == (8, 12)


def test_a_network_that_knows_no_places_has_no_finer_ones() -> None:
    with pytest.raises(UserError, match="is not told where its tokens lie"):
        laid_out(codec(GridTokenizer((2, 2))), (16, 24), "trained", knows_places=False)


def test_points_do_not_follow_a_map_that_lies_elsewhere() -> None:
    axes = {name: FieldAxis(name, 3, coordinate=(4.0, 5.0, 6.0)) for name in ("y", "x")}
    points = FieldPoints("seen", 2, coordinates=((4.0, 5.0, 6.0), (0.0, 1.0, 2.0)))
    own = codec(GridTokenizer((1, 1)), FieldMap("z", dims=("y", "x")), points)
    seen, z = np.zeros((1, 3)), np.zeros((3, 3, 1))
    look_over(own, [{"seen": seen, "z": z}, {"seen": seen, "z": placed(z, {"y": axes["y"]})}])
    with pytest.raises(UserError, match="seen: its places are coordinates of training, and z lies elsewhere along x"):
        look_over(own, [{"seen": seen, "z": placed(z, axes)}])
