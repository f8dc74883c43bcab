"""Control cells that a sample attends to: their order means nothing, and what components leave out is theirs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pytest
import torch

from beeline.backbone.config import ModelConfig, Positions
from beeline.conditioning.control_cells import ControlPopulation
from beeline.core.errors import UserError
from beeline.core.parts import describe_part, rebuild_part
from beeline.data.cell_choice import CellDescription
from beeline.data.projection import Projection
from beeline.model.codec import Codec
from beeline.model.network import Network
from beeline.process.linear import Linear
from beeline.tokenizers.grid import GridTokenizer
from tests.conftest import randomise_zeros

CELLS = np.abs(np.random.default_rng(0).normal(size=(40, 12))).astype(np.float32)
GENES = tuple(f"G{number}" for number in range(12))


def condition(**more: float) -> ControlPopulation:
    """Fitted on forty cells, in populations that share some."""
    known = CellDescription(GENES, "lognorm", None, 40).text()
    made = ControlPopulation("controls", 8, 1, 0.1, known, projection=Projection(4), **more)  # type: ignore[arg-type]
    return made.fit([CELLS[:20], CELLS[10:], None, CELLS[5:9]])


@pytest.mark.parametrize("positions", ["sincos", "rotary", "learned", "none"])
def test_what_a_network_says_does_not_depend_on_the_order_of_control_cells(positions: Positions) -> None:
    """A theorem: attention is a sum over keys, and all of them lie at one place."""
    own, tokenizer = condition(), GridTokenizer((2,), 1)
    config = ModelConfig(hidden_size=16, depth=2, num_heads=2, positions=positions)
    network = Network(config, tokenizer, [own], Linear(), extents=(3,))
    randomise_zeros(network)
    codec = Codec(Projection(6), tokenizer, (own,))
    tokens = tokenizer.encode(torch.randn(6, 1, generator=torch.Generator().manual_seed(0)))

    def said(population: np.ndarray | None) -> torch.Tensor:
        batch = codec.batch([codec.with_conditions(tokens, {"controls": population})])
        with torch.no_grad():
            output: torch.Tensor = network(batch.tokens, torch.tensor([0.6]), batch.conditions).output
        return output

    order = np.random.default_rng(1).permutation(9)
    population = CELLS[:9]
    torch.testing.assert_close(said(population[order]), said(population), atol=2e-6, rtol=0)
    twice = np.concatenate([population, population])
    torch.testing.assert_close(said(twice), said(population), atol=2e-6, rtol=0, msg="attention is a mean")
    others = [said(CELLS[20:29]), said(CELLS[:8]), said(None)]
    assert all((each - said(population)).abs().max() > 1e-3 for each in others)


def test_components_are_those_of_distinct_cells_and_travel_with_a_model() -> None:
    fitted = condition()
    assert fitted.projection == Projection(4).fit(iter(CELLS))
    again = rebuild_part(describe_part(fitted), "")
    assert again == fitted
    np.testing.assert_array_equal(again.encode(CELLS[:3]), fitted.projection.along(CELLS[:3]))
    assert fitted.encode(None).shape == (1, 4)
    for wrong in (CELLS[0], CELLS[:, :5], CELLS[:0], np.full((2, 12), np.nan), "cells"):
        with pytest.raises(UserError, match="condition controls"):
            fitted.encode(wrong)
    with pytest.raises(UserError, match="members >= 1"):
        ControlPopulation("controls", 0)


def test_one_population_is_shared_out_and_each_cell_leads_as_often_as_any_other() -> None:
    fitted = condition()
    shared = fitted.shared(CELLS, 80)
    assert {each.shape for each in shared} == {(8, 12)}
    leading = sorted(CELLS.tolist().index(each[0].tolist()) for each in shared)
    assert leading == sorted([*range(40), *range(40)])
    np.testing.assert_array_equal(fitted.shared(CELLS, 3)[2], shared[2], err_msg="of the place alone")
    few = fitted.shared(CELLS[:5], 7)
    assert all(sorted(map(bytes, each)) == sorted(map(bytes, CELLS[:5])) for each in few), "all of them, each once"


def test_cells_come_from_files_and_from_anndata(tmp_path: Path) -> None:
    cells = anndata.AnnData(CELLS[:6, ::-1].copy())
    cells.var_names = list(GENES[::-1])
    path = tmp_path / "control.h5ad"
    cells.write_h5ad(path)
    np.save(tmp_path / "control.npy", CELLS[:6])
    fitted = condition()
    for value in (path, str(path), cells, CELLS[:6], tmp_path / "control.npy"):
        np.testing.assert_allclose(fitted.taken(value), CELLS[:6], atol=1e-6)
    np.testing.assert_allclose(fitted.parse(str(path)), CELLS[:6], atol=1e-6)
    with pytest.raises(UserError, match=r"nothing\.npy"):
        fitted.parse(str(tmp_path / "nothing.npy"))
    with pytest.raises(UserError, match="lacks"):
        fitted.taken(cells[:, 3:])


def test_a_population_that_is_moved_is_told_as_it_was() -> None:
    """A theorem: about the mean of its control cells, a sample does not change when both move alike."""
    for rows in (False, True):
        about = replace(Projection(3, rows=rows).fit(CELLS[None] if rows else CELLS), about=True)
        own, others, step = CELLS[:5] if rows else CELLS[0], CELLS[10:14], np.arange(12, dtype=np.float32)
        told = about.relative(about.apply(own), others)
        np.testing.assert_allclose(about.relative(about.apply(own + step), others + step), told, atol=1e-4)
        made, moved = (about.undo_beside(about.absolute(told, each), each) for each in (others, others + step))
        np.testing.assert_allclose(moved, made + step, atol=1e-4)
        np.testing.assert_allclose(about.apply(made), about.apply(own), atol=1e-4, err_msg="components are its own")
        plain = replace(about, about=False)
        np.testing.assert_array_equal(plain.relative(plain.apply(own), others), plain.apply(own))


def test_a_sample_takes_what_components_leave_out_from_members_in_turn() -> None:
    rows = Projection(3, rows=True).fit([CELLS[:25], CELLS[25:]])
    assert rows.fitted == Projection(3).fit(iter(CELLS)).fitted
    np.testing.assert_allclose(rows.undo_beside(rows.apply(CELLS[:5]), CELLS[:5]), CELLS[:5], atol=1e-5)
    made = rows.undo_beside(rows.apply(CELLS[:5]), CELLS[10:12])
    rest = CELLS - rows.undo(rows.apply(CELLS))
    np.testing.assert_allclose(made - rows.undo(rows.apply(CELLS[:5])), rest[[10, 11, 10, 11, 10]], atol=1e-5)
    single = Projection(3).fit(iter(CELLS))
    np.testing.assert_array_equal(
        single.undo_beside(single.apply(CELLS[0]), CELLS[10:14]), single.undo_beside(single.apply(CELLS[0]), CELLS[10])
    )
    for wrong in (CELLS[0], CELLS[:, :4]):
        with pytest.raises(ValueError, match="need shape"):
            rows.apply(wrong)
