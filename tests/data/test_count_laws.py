"""Laws of counts: held against scipy's, against sums over all counts, and where numbers are extreme."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from beeline.data.count_laws import CountLaw, log_nb, log_zinb
from beeline.data.gene_law import mean_law, mean_likelihood

MEANS = torch.tensor([1e-3, 0.3, 2.0, 40.0], dtype=torch.float64)
DISPERSIONS = torch.tensor([0.1, 1.0, 30.0], dtype=torch.float64)[:, None]


def test_log_nb_is_scipys() -> None:
    counts = torch.arange(0, 200, dtype=torch.float64)[:, None, None]
    found = log_nb(counts, MEANS.log(), DISPERSIONS.log())
    wanted = stats.nbinom.logpmf(counts.numpy(), DISPERSIONS.numpy(), (DISPERSIONS / (DISPERSIONS + MEANS)).numpy())
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("logit", [-4.0, 0.0, 3.0])
def test_chances_sum_to_one_and_have_the_mean_and_the_zeros_that_they_should(logit: float) -> None:
    counts = torch.arange(0, 6000, dtype=torch.float64)[:, None, None]
    plain = log_nb(counts, MEANS.log(), DISPERSIONS.log()).exp()
    more = log_zinb(counts, MEANS.log(), DISPERSIONS.log(), torch.tensor(logit, dtype=torch.float64)).exp()
    share = 1 / (1 + np.exp(-logit))
    for law, zeros in ((plain, 0.0), (more, share)):
        np.testing.assert_allclose(law.sum(0).numpy(), 1.0, atol=1e-9)
        np.testing.assert_allclose(((counts * law).sum(0) / MEANS).numpy(), 1 - zeros, rtol=1e-6)
    np.testing.assert_allclose(more[0].numpy(), (share + (1 - share) * plain[0]).numpy(), rtol=1e-9)


def test_variance_is_m_plus_m_squared_over_r() -> None:
    counts = torch.arange(0, 9000, dtype=torch.float64)[:, None, None]
    law = log_nb(counts, MEANS.log(), DISPERSIONS.log()).exp()
    variance = (counts**2 * law).sum(0) - MEANS**2
    np.testing.assert_allclose(variance.numpy(), (MEANS + MEANS**2 / DISPERSIONS).numpy(), rtol=1e-5)


def test_gradients_are_finite_at_extremes() -> None:
    grid = torch.cartesian_prod(
        torch.tensor([0.0, 1.0, 1e5]),
        torch.tensor([-100.0, 0.0, 15.0]),
        torch.tensor([-7.0, 7.0]),
        torch.tensor([-60.0, 60.0]),
    )
    counts, *rest = grid.unbind(1)
    log_mean, log_dispersion, logits = (each.clone().requires_grad_() for each in rest)
    value = log_zinb(counts, log_mean, log_dispersion, logits)
    assert torch.isfinite(value).all()
    value.sum().backward()
    for each in (log_mean, log_dispersion, logits):
        assert each.grad is not None
        assert torch.isfinite(each.grad).all()


@pytest.mark.parametrize("zeros", [None, 0.3])
def test_quantiles_draw_the_law(zeros: float | None) -> None:
    """Quantiles of evenly spaced chances occur as often as the law says, to within the spacing."""
    size = 4000
    uniform = (np.arange(size) + 0.5) / size
    share = None if zeros is None else np.full(size, zeros)
    drawn = CountLaw(np.full(size, 3.0), np.full(size, 0.8), share).quantile(uniform)
    logit = -np.inf if zeros is None else np.log(zeros / (1 - zeros))
    for count in range(12):
        log_law = log_zinb(
            *(torch.tensor(each, dtype=torch.float64) for each in (count, np.log(3), np.log(0.8), logit))
        )
        assert np.mean(drawn == count) == pytest.approx(float(log_law.exp()), abs=2 / size)


@pytest.mark.parametrize("zeros", [None, np.full(3000, 0.2)])
def test_counts_carried_to_another_law_follow_it_and_to_their_own_stay(zeros: np.ndarray | None) -> None:
    random = np.random.default_rng(0)
    one = CountLaw(np.full(3000, 1.5), np.full(3000, 0.7), zeros)
    other = CountLaw(np.full(3000, 6.0), np.full(3000, 0.7), zeros)
    counts, uniform = one.quantile(random.random(3000)), random.random(3000)
    np.testing.assert_array_equal(one.carried(counts, one, uniform), counts)
    moved = one.carried(counts, other, uniform)
    drawn = other.quantile(random.random(3000))
    assert stats.ks_2samp(moved, drawn).pvalue > 0.01
    assert stats.spearmanr(counts, moved).statistic > 0.6, "high counts stay high"
    near = CountLaw(one.mean * (1 + 1e-9), one.dispersion, zeros)
    assert np.mean(one.carried(counts, near, uniform) != counts) < 1e-3, (
        "and little moves where laws are almost the same"
    )


def test_counts_far_above_their_mean_are_carried_in_proportion() -> None:
    one, other = (CountLaw(np.array([mean]), np.array([100.0])) for mean in (1.0, 2.0))
    assert one.carried(np.array([500.0]), other, np.array([0.5])) == 1000


def test_the_law_of_cells_all_alike_has_the_largest_likelihood() -> None:
    random = np.random.default_rng(0)
    library, shares = np.exp(random.normal(7, 0.3, (800, 1))), np.array([0.5, 0.3, 0.2])
    spread = random.gamma(2.0, 0.5, (800, 3))
    counts = torch.from_numpy(random.poisson(library * shares * spread).astype(np.float64))
    found, dispersions = mean_law(counts)
    np.testing.assert_allclose(found.sum(), 1.0)
    best = float(mean_likelihood(counts, found, dispersions).sum())
    for factor in (0.9, 1.1):
        assert best > float(mean_likelihood(counts, found, dispersions * factor).sum())
