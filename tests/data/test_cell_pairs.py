"""Pairs of control and perturbed cells: the pairs that were planted, and every cell used alike."""

from __future__ import annotations

import numpy as np

from beeline.data.cell_pairs import paired


def test_cells_that_were_moved_alike_find_themselves() -> None:
    random = np.random.default_rng(0)
    control = random.normal(size=(80, 6)) * np.array([5, 4, 3, 2, 1, 1])
    order = random.permutation(80)
    perturbed = control[order] + np.array([0, 30.0, 0, -7.0, 0, 0])
    found = paired(control, perturbed, 3, np.random.default_rng(1))
    assert (found == order).all(), "the common shift says nothing about which cell is which"


def test_transport_is_no_longer_than_any_other_pairing_and_uses_cells_alike() -> None:
    random = np.random.default_rng(0)
    control, perturbed = random.normal(size=(30, 3)), random.normal(size=(75, 3)) + 2.0
    (found,) = paired(control, perturbed, 1, np.random.default_rng(1))
    uses = np.bincount(found, minlength=30)
    assert uses.min() >= 2
    assert uses.max() <= 3
    centred = [each - each.mean(axis=0) for each in (control, perturbed)]

    def cost(places: np.ndarray) -> float:
        return float(np.square(centred[0][places] - centred[1]).sum())

    assert all(cost(found) < cost(random.permutation(found)) for _ in range(200))


def test_rounds_differ_and_large_populations_are_paired_in_parts() -> None:
    random = np.random.default_rng(0)
    control, perturbed = random.normal(size=(600, 3)), random.normal(size=(1100, 3))
    found = paired(control, perturbed, 2, np.random.default_rng(1))
    assert found.shape == (2, 1100)
    assert (found[0] != found[1]).any()
    assert np.bincount(found[0], minlength=600).min() >= 1
