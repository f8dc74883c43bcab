"""A variational autoencoder of cells, with counts as they were counted.

    q(z | x)      = N(m(x), diag s(x)^2)            x log-normalised expression, encoder: MLP
    rho(z)        = softmax(decoder MLP)            shares of the genes, which sum to one
    p(k_g | z, l) = NB(k_g; l rho_g(z), r_g)        l the true library, the sum of the cell's counts over these genes
                    or ZINB with logits of z
    loss          = E_q[-sum_g ln p(k_g | z, l)] + beta KL(q | N(0, 1))     KL = 1/2 sum (m^2 + s^2 - 1 - ln s^2)

With beta 1, minus the loss is a bound from below of ln p(k | l) (ELBO). The likelihood is one of raw counts, never of
normalised ones (facts E40); their library is the cell's own and never one of normalised values.

An MLP is layers of Linear, LayerNorm, SiLU, then Linear; a decoder may be linear, so that what latents do to ln rho
adds up, also where no cell has been (Svensson et al. 2020, LDVAE). Source: Lopez et al. 2018, "Deep generative
modeling for single-cell transcriptomics" (scVI), with the library observed as in its later versions.

Shapes: N cells, G genes, K latents, H hidden.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from beeline.data.count_laws import log_nb, log_zinb

Decoder = Literal["nb", "zinb"]
LOG_DISPERSIONS = (-7.0, 7.0)
LOG_VARIANCES = (-15.0, 10.0)
EPSILON = 1e-6


class CellNetwork(nn.Module):
    """Encoder and decoder.

    Args:
        genes: G.
        latent: K.
        hidden: H.
        decoder: law of the counts.
        linear: a decoder without hidden layer.
    """

    def __init__(self, genes: int, latent: int, hidden: int, decoder: Decoder, linear: bool = False) -> None:
        super().__init__()
        self.encoder_hidden = _hidden(genes, hidden)
        self.encoder_mean = nn.Linear(hidden, latent)
        self.encoder_log_variance = nn.Linear(hidden, latent)
        self.decoder_hidden = nn.Identity() if linear else _hidden(latent, hidden)
        last = latent if linear else hidden
        self.decoder_share = nn.Linear(last, genes)
        self.decoder_zeros = nn.Linear(last, genes) if decoder == "zinb" else None
        self.log_dispersion = nn.Parameter(torch.zeros(genes))

    def encode(self, expression: Tensor) -> tuple[Tensor, Tensor]:
        """m and ln s^2, (N, K) each.

        Args:
            expression: (N, G) log-normalised.
        """
        hidden = self.encoder_hidden(expression)
        return self.encoder_mean(hidden), self.encoder_log_variance(hidden).clamp(*LOG_VARIANCES)

    def likelihood(self, latents: Tensor, counts: Tensor) -> Tensor:
        """(N,) sum over genes of ln p(k | z, l).

        Args:
            latents: (N, K).
            counts: (N, G).
        """
        hidden = self.decoder_hidden(latents)
        log_library = counts.sum(dim=1, keepdim=True).clamp(min=1.0).log()
        log_mean = self.decoder_share(hidden).log_softmax(dim=1) + log_library
        log_dispersion = self.log_dispersion.clamp(*LOG_DISPERSIONS)
        if self.decoder_zeros is None:
            return log_nb(counts, log_mean, log_dispersion).sum(dim=1)
        return log_zinb(counts, log_mean, log_dispersion, self.decoder_zeros(hidden)).sum(dim=1)

    def loss(self, expression: Tensor, counts: Tensor, noise: Tensor, beta: float) -> Tensor:
        """(N,) minus the bound, the KL term times beta.

        Args:
            expression: (N, G) log-normalised.
            counts: (N, G) as counted.
            noise: (N, K) standard normal draws.
            beta: weight of the KL term.
        """
        mean, log_variance = self.encode(expression)
        latents = mean + (0.5 * log_variance).exp() * noise
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).sum(dim=1)
        return beta * divergence - self.likelihood(latents, counts)

    @torch.no_grad()
    def begin_at(self, shares: Tensor, dispersions: Tensor) -> None:
        """Start from the mean cell: its shares and dispersions, from which the network moves away.

        Args:
            shares: (G,) that sum to one.
            dispersions: (G,) r.
        """
        self.decoder_share.bias.copy_(shares.clamp(min=1e-9).log())
        self.log_dispersion.copy_(dispersions.log().clamp(*LOG_DISPERSIONS))
        if self.decoder_zeros is not None:
            self.decoder_zeros.bias.fill_(-3.0)


def _hidden(inputs: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.LayerNorm(hidden, eps=EPSILON), nn.SiLU())
