"""Positions: the official table, rotations that know only differences, and cells of their own."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from beeline.nn.embeddings import TimeEmbedding, sinusoid
from beeline.nn.positions import LearnedPositions, frequencies, rotary_angles, rotate, sincos_positions
from beeline.tokenizers.grid import GridTokenizer


def grid(*extents: int) -> Tensor:
    coords = GridTokenizer((1,) * len(extents)).blank(extents).coords
    assert coords is not None
    return coords


def official_axis(width: int, places: Tensor) -> Tensor:
    frequencies = torch.tensor([1.0 / 10000 ** (k / (width / 2)) for k in range(width // 2)], dtype=torch.float64)
    angles = places.double()[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)


@pytest.mark.parametrize(("rows", "columns", "width"), [(4, 4, 64), (2, 5, 96)])
def test_two_axes_give_the_official_table(rows: int, columns: int, width: int) -> None:
    """The first half of the numbers encodes the column, the second the row (facts, section 4a)."""
    coords = grid(rows, columns)
    expected = torch.cat([official_axis(width // 2, coords[0, :, 1]), official_axis(width // 2, coords[0, :, 0])], 1)
    torch.testing.assert_close(sincos_positions(coords, width)[0].double(), expected, rtol=0, atol=1e-6)


def test_tables_equal_the_recorded_ones(real_data: Callable[[str], Path]) -> None:
    recorded = np.load(real_data("parity") / "pieces.npz")
    for width, side in ((64, 4), (96, 3), (384, 16)):
        ours = sincos_positions(grid(side, side), width)[0].numpy()
        np.testing.assert_allclose(ours, recorded[f"pos_{width}_{side}"], atol=1e-6)
    t = torch.from_numpy(recorded["t"])
    for width in (256, 7):
        # In fp32 an exponent of size a gives its frequency to (1 + a) 2^-24, on each processor otherwise.
        exponents = math.log(10000) * torch.arange(width // 2, dtype=torch.float64) / (width // 2)
        rounding = t.double()[:, None] * torch.exp(-exponents) * (1 + exponents) * 2**-23
        allowed = nn.functional.pad(torch.cat([rounding, rounding], dim=1), (0, width % 2)).numpy() + 1e-6
        off = np.abs(sinusoid(t, width).numpy() - recorded[f"temb_{width}"])
        assert (off <= allowed).all(), (off / allowed).max()


def test_e16_time_is_256_waves_of_period_up_to_ten_thousand() -> None:
    """E16: 256 numbers, cosines first, slowest wave 1e4^(127/128)."""
    t = torch.tensor([3.0])
    waves = sinusoid(t)
    assert waves.shape == (1, 256)
    assert waves[0, 0].item() == pytest.approx(math.cos(3.0))
    assert waves[0, 128].item() == pytest.approx(math.sin(3.0), abs=1e-6)
    assert waves[0, 127].item() == pytest.approx(math.cos(3.0 / 10000 ** (127 / 128)))


def test_e16_a_two_layer_network_brings_256_waves_to_the_hidden_width() -> None:
    """E16: the network sees 256 waves, not 128, whatever its width."""
    embedding, t = TimeEmbedding(48).double(), torch.tensor([3.0, 700.0])
    hidden = embedding.first(sinusoid(t, 256).double())
    torch.testing.assert_close(embedding(t), embedding.second(hidden * torch.sigmoid(hidden)))


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_every_cell_has_a_position_of_its_own(axes: int) -> None:
    table = sincos_positions(grid(*(5,) * axes), 48)[0]
    distances = torch.cdist(table, table) + 10 * torch.eye(len(table))
    assert distances.min() > 0.1


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_rotary_products_depend_on_differences_of_coordinates_alone(axes: int) -> None:
    generator = torch.Generator().manual_seed(0)
    coords = torch.rand(1, 5, axes, generator=generator) * 10
    q, k = (torch.randn(1, 2, 5, 20, generator=generator, dtype=torch.float64) for _ in range(2))

    def products(shift: float) -> Tensor:
        rotary = rotary_angles(coords + shift, 20, 100.0)
        return rotate(q, rotary) @ rotate(k, rotary).mT

    torch.testing.assert_close(products(3.7), products(0.0), rtol=0, atol=1e-4)
    assert not torch.allclose(products(0.0), q @ k.mT)


def test_positions_on_a_periodic_axis_close_upon_it() -> None:
    """One period on, an axis that turns is where it was, and the others are not; distinct cells stay distinct."""
    coords, period = grid(6, 5), torch.tensor([[[6.0, math.inf]]])
    for shift, returns in ((torch.tensor([6.0, 0.0]), True), (torch.tensor([0.0, 5.0]), False)):
        one, other = (sincos_positions(each, 32, period_BLP=period) for each in (coords, coords + shift))
        assert torch.allclose(one, other, atol=1e-5) == returns
        one, other = (torch.cat(rotary_angles(each, 16, 100.0, period)) for each in (coords, coords + shift))
        assert torch.allclose(one, other, atol=1e-5) == returns
    table = sincos_positions(coords, 32, period_BLP=period)[0]
    assert (torch.cdist(table, table) + 10 * torch.eye(len(table))).min() > 0.1
    assert frequencies(8, 10000.0, period, coords)[0, 0, 0].min() == pytest.approx(2 * math.pi / 6)
    without = torch.full((1, 1, 2), math.inf)
    assert torch.equal(sincos_positions(coords, 32, period_BLP=without), sincos_positions(coords, 32))


def test_rotation_keeps_lengths() -> None:
    q = torch.randn(1, 1, 6, 16, dtype=torch.float64)
    turned = rotate(q, rotary_angles(grid(2, 3), 16, 100.0))
    torch.testing.assert_close(turned.norm(dim=-1), q.norm(dim=-1), rtol=1e-6, atol=0)


def test_learned_positions_are_looked_up_cell_by_cell() -> None:
    positions = LearnedPositions((3, 4), 5)
    found = positions(grid(3, 4))[0]
    assert torch.equal(found, positions.table)
    assert torch.equal(positions(grid(2, 3))[0, 4], positions.table[1 * 4 + 1])
