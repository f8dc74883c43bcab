"""Principal components: their theorem, and what they leave out taken from another vector."""

from __future__ import annotations

import numpy as np
import pytest

from beeline.core.errors import UserError
from beeline.core.parts import describe_part, rebuild_part
from beeline.data.projection import Projection


def cells(count: int = 300, genes: int = 20) -> np.ndarray:
    random = np.random.default_rng(0)
    loads = random.normal(size=(4, genes)) * np.array([[5.0], [3.0], [2.0], [1.0]])
    return 1.0 + random.normal(size=(count, 4)) @ loads + 0.3 * random.normal(size=(count, genes))


def test_the_first_components_lose_what_the_last_eigenvalues_hold() -> None:
    """Eckart and Young: mean |x - undo(apply(x))|^2 is the sum of the smallest eigenvalues of the covariance."""
    values = cells()
    fitted = Projection(components=3).fit(iter(values))
    back = np.stack([fitted.undo(fitted.apply(each)) for each in values])
    lost = np.square(values - back).sum(axis=1).mean()
    eigenvalues = np.linalg.eigvalsh(np.cov(values.T, bias=True))
    assert lost == pytest.approx(eigenvalues[:-3].sum(), rel=1e-4)
    scaled = np.stack([fitted.apply(each) for each in values])[..., 0]
    assert scaled[:, 0].std() == pytest.approx(3.0, rel=1e-4)
    ratios = scaled.var(axis=0) / scaled[:, 0].var()
    assert ratios == pytest.approx(eigenvalues[::-1][:3] / eigenvalues[-1], rel=1e-4)
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-4)


def test_what_is_left_out_comes_from_the_start() -> None:
    values = cells()
    fitted = Projection(components=3).fit(iter(values))
    one, other = values[0], values[1]
    np.testing.assert_allclose(fitted.undo_beside(fitted.apply(one), one), one, atol=1e-4)
    moved = fitted.undo_beside(fitted.apply(one), other)
    np.testing.assert_allclose(fitted.apply(moved), fitted.apply(one), atol=1e-4, err_msg="components are the first's")
    rest = other - fitted.undo(fitted.apply(other))
    np.testing.assert_allclose(moved - fitted.undo(fitted.apply(one)), rest, atol=1e-4)


def test_numbers_below_the_lowest_are_cut_and_nothing_else() -> None:
    values = cells()
    cut = Projection(components=3, lowest=0.0).fit(iter(values))
    plain = Projection(components=3).fit(iter(values))
    for each in values[:10]:
        np.testing.assert_array_equal(cut.undo(cut.apply(each)), np.maximum(plain.undo(plain.apply(each)), 0))


def test_it_travels_with_a_model_and_refuses_what_does_not_fit() -> None:
    values = cells()
    fitted = Projection(components=3).fit(iter(values))
    again = rebuild_part(describe_part(fitted), "")
    assert again == fitted
    np.testing.assert_array_equal(again.apply(values[0]), fitted.apply(values[0]))
    with pytest.raises(UserError, match="at least 1"):
        Projection(components=0)
    with pytest.raises(UserError, match="span fewer"):
        Projection(components=5).fit(iter(values[:4]))
    with pytest.raises(UserError, match="vectors"):
        Projection().fit(iter(values[:, :, None]))
    with pytest.raises(UserError, match="at most 5,000"):
        Projection().fit(iter(np.zeros((2, 5001))))
    with pytest.raises(ValueError, match="shape"):
        fitted.apply(values[0][:5])
