"""Cells to latents of an autoencoder and back: numbers of the network, counting noise, and starts kept as they are."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import torch

from beeline.core.errors import UserError
from beeline.core.offers import Completing
from beeline.core.parts import describe_part, rebuild_part
from beeline.data.cell_autoencoder import CellAutoencoder, Libraries
from beeline.data.cell_network import CellNetwork, Decoder
from beeline.data.counted_cells import counts_again

GENES, LATENT, TARGET = 40, 3, 500.0


def network(decoder: Decoder = "nb", linear: bool = False) -> CellNetwork:
    torch.manual_seed(0)
    made = CellNetwork(GENES, LATENT, 16, decoder, linear)
    with torch.no_grad():
        made.log_dispersion.normal_()
    return made.eval()


def normaliser(made: CellNetwork, decoder: Decoder = "nb") -> CellAutoencoder:
    held = safetensors.torch.save(dict(made.state_dict()))
    libraries = Libraries(6.0, (0.2, 0.0, -0.1), (-0.5, 0.0, 0.5), (0.8, 1.0))
    text, digest = base64.b64encode(held).decode(), hashlib.sha256(held).hexdigest()
    return CellAutoencoder(LATENT, GENES, decoder, TARGET, libraries, (0.1,) * LATENT, text, digest)


def cells(count: int = 30) -> np.ndarray:
    random = np.random.default_rng(0)
    counts = random.poisson(random.gamma(0.5, 4.0, (count, GENES)))
    counts[:, 0] = 1  # a smallest count by which the library is found again
    return np.log1p(counts / counts.sum(axis=1, keepdims=True) * TARGET).astype(np.float32)


@pytest.mark.parametrize(("decoder", "linear"), [("nb", False), ("zinb", False), ("nb", True)])
def test_numbers_are_those_of_the_network(decoder: Decoder, linear: bool) -> None:
    made, values = network(decoder, linear), cells()
    fitted = normaliser(made, decoder).fit(iter(values))
    latents = np.stack([fitted.apply(each) for each in values])[..., 0]
    with torch.no_grad():
        mean, _ = made.encode(torch.from_numpy(values))
        apart = mean - mean.mean(0)
        np.testing.assert_allclose(latents, (apart / apart.square().mean().sqrt()).numpy(), atol=1e-5)
        hidden = made.decoder_hidden(mean)
        np.testing.assert_allclose(
            np.stack([fitted.mean(fitted.apply(each)) for each in values]),
            made.decoder_share(hidden).softmax(1).numpy(),
            atol=1e-6,
        )
    assert np.square(latents).mean() == pytest.approx(1.0, rel=1e-5)


def test_cells_come_with_the_noise_of_counting() -> None:
    """Counts are whole; over many draws their mean and variance are those of NB at the libraries drawn."""
    made = network()
    fitted = replace(normaliser(made), deviations=(0.0,) * LATENT, libraries=Libraries(6.0, (0.0,) * 3)).fit(cells())
    near = [np.full((LATENT, 1), 0.3, dtype=np.float32) + np.float32(1e-6) * i for i in range(2)]
    np.testing.assert_allclose(fitted.undo(near[0]), fitted.undo(near[1]), atol=1e-3, err_msg="and of latents alone")
    random, drawn = np.random.default_rng(0), []
    for _ in range(2000):
        latent = random.normal(size=(LATENT, 1)).astype(np.float32)
        again = counts_again(fitted.undo(latent), TARGET)
        assert again is not None
        drawn.append((again[0], np.exp(6.0) * fitted.mean(latent)))
    counts, means = (np.stack(column) for column in zip(*drawn, strict=True))
    residuals = (counts - means) / np.sqrt(means + means**2 / made.log_dispersion.exp().detach().numpy())
    assert abs(residuals.mean(0)).max() * np.sqrt(len(counts)) < 4
    np.testing.assert_allclose(np.square(residuals).mean(), 1.0, atol=0.05)


def test_a_start_stays_as_it_is_and_moves_to_counts() -> None:
    for decoder in ("nb", "zinb"):
        fitted = normaliser(network(decoder), decoder).fit(iter(cells()))
        assert isinstance(fitted, Completing)
        for one, other in zip(cells()[:-1], cells()[1:], strict=True):
            np.testing.assert_allclose(fitted.undo_beside(fitted.apply(one), one), one, atol=1e-6)
            moved = fitted.undo_beside(fitted.apply(other), one)
            again = counts_again(moved, TARGET)
            assert again is not None, "counts stay counts"
            assert not np.array_equal(moved, one)
        shifted = np.abs(one) * np.float32(0.777)  # of no counts
        assert counts_again(shifted, TARGET) is None
        np.testing.assert_allclose(fitted.undo_beside(fitted.apply(shifted), shifted), shifted, atol=1e-6)


def test_counts_are_found_again_and_nothing_else() -> None:
    counts = np.array([0.0, 2.0, 5.0, 1800.0, 3.0])
    again = counts_again(np.log1p(counts / 4000 * TARGET).astype(np.float32), TARGET)
    assert again is not None
    np.testing.assert_array_equal(again[0], counts)
    assert again[1] == pytest.approx(4000, rel=1e-5)
    assert counts_again(np.array([0.0, 0.3, 0.55, 1.01]), TARGET) is None
    assert counts_again(np.zeros(3), TARGET) is None


def test_it_travels_with_a_model_and_tells_when_it_was_damaged() -> None:
    values = cells()
    fitted = normaliser(network()).fit(iter(values))
    again = rebuild_part(describe_part(fitted), "")
    assert again == fitted
    np.testing.assert_array_equal(again.undo(again.apply(values[0])), fitted.undo(fitted.apply(values[0])))
    with pytest.raises(UserError, match="damaged"):
        replace(fitted, sha256="0" * 64).apply(values[0])
    with pytest.raises(ValueError, match="shape"):
        fitted.apply(values[0][:5])
    with pytest.raises(UserError, match="the same for all cells"):
        normaliser(network()).fit(iter(values[:1]))


def test_of_several_cells_the_first_is_taken() -> None:
    values = cells()
    fitted = normaliser(network()).fit(iter(values))
    moved = fitted.apply(values[3])
    np.testing.assert_array_equal(fitted.undo_beside(moved, values[:5]), fitted.undo_beside(moved, values[0]))
