"""Samples of another shape: a larger domain, or finer cells of the same."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from beeline.core.errors import UserError
from beeline.generate.asking import laid_out
from beeline.model.codec import Codec
from beeline.samplers.config import SampleConfig
from beeline.tokenizers.grid import GridTokenizer


def codec(tokenizer: GridTokenizer) -> Codec:
    """Trained on 8 x 12 cells, and now and then on others."""
    return cast(Codec, SimpleNamespace(tokenizer=tokenizer, forms=[((4, 4), 2), ((8, 12), 90), ((16, 12), 1)]))


def test_finer_cells_of_the_same_domain_lie_evenly_about_those_of_training() -> None:
    own = codec(GridTokenizer((2, 2)))
    trained, fine = laid_out(own, (8, 12), "trained"), laid_out(own, (16, 24), "trained")
    assert trained.coords is not None
    assert fine.coords is not None
    assert torch.equal(trained.coords, GridTokenizer((2, 2)).blank((8, 12)).coords)
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
