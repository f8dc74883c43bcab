"""Norms: the published formula, in fp32 whatever comes in."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from beeline.nn.norms import RMSNorm, layer_norm, modulated_layer_norm
from tests.nn.kept import kept


def shaken_norm() -> RMSNorm:
    """Weights away from one, so that leaving them out shows."""
    norm = RMSNorm(64)
    torch.nn.init.normal_(norm.weight, generator=torch.Generator().manual_seed(0))
    return norm


def test_the_root_mean_square_is_not_centred_and_is_weighted() -> None:
    norm = shaken_norm().double()
    x = 0.01 * (1 + torch.randn(4, 64, generator=torch.Generator().manual_seed(1)).double())
    torch.testing.assert_close(norm(x), functional.rms_norm(x, (64,), norm.weight, 1e-6))


def test_bf16_numbers_are_normalised_in_full_precision_and_rounded_once() -> None:
    norm, x = shaken_norm(), torch.randn(16, 64, generator=torch.Generator().manual_seed(1)).bfloat16()
    assert norm(x).dtype == torch.bfloat16
    torch.testing.assert_close(norm(x).double(), norm(x.double()), rtol=2**-8 + 1e-5, atol=0)


@pytest.mark.parametrize("rows", [1, 5])
def test_a_modulated_norm_has_the_gradients_of_its_formula(rows: int) -> None:
    """For vectors a sample and vectors a token."""
    x, shift, scale = (torch.randn(2, length, 8).double().requires_grad_() for length in (5, rows, rows))
    assert torch.autograd.gradcheck(modulated_layer_norm, (x, shift, scale))
    plain = torch.addcmul(shift, layer_norm(x), 1 + scale)
    assert torch.equal(modulated_layer_norm(x, shift, scale), plain)
    with torch.no_grad():
        assert torch.equal(modulated_layer_norm(x, shift, scale), plain)


def test_a_modulated_norm_keeps_what_it_is_given_and_nothing_of_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless it is compiled, where the compiler chooses what is kept."""
    x, shift, scale = (torch.randn(2, length, 64, requires_grad=True) for length in (32, 1, 1))
    given = {each.untyped_storage().data_ptr() for each in (x, shift, scale)}
    of_tokens = 2 * 2 * 32 * 4  # mean and inverse deviation
    assert kept(lambda: modulated_layer_norm(x, shift, scale), given) == of_tokens
    assert kept(lambda: torch.addcmul(shift, layer_norm(x), 1 + scale), given) > of_tokens + x.nbytes
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert kept(lambda: modulated_layer_norm(x, shift, scale), given) > of_tokens + x.nbytes
