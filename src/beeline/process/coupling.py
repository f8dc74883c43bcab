"""Which noise meets which data: the exchange of noise within a batch that shortens the paths most.

    minimise  sum_i |x_i - e_pi(i)|^2  over permutations pi that stay within a group

As every e is used once, that is to maximise sum_i <x_i, e_pi(i)>: an assignment problem, solved exactly. Pairs of data
and condition are never touched: it is the noise that moves (E32).

Source: Pooladian et al. 2023, "Multisample flow matching", and Tong et al. 2024, "Improving and generalizing flow-based
generative models with minibatch optimal transport", section 3.2, where it is called OT-CFM.

Shapes: N samples, K numbers a sample.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def assign(data_NK: Tensor, noise_NK: Tensor, groups: Sequence[Sequence[int]]) -> Tensor:
    """(N,) int64 the sample whose noise each sample takes.

    Args:
        data_NK: the samples.
        noise_NK: their own noise.
        groups: samples that may exchange noise, each in at most one group; the others keep theirs.
    """
    from scipy.optimize import linear_sum_assignment  # trainers without a coupling do without it

    chosen = torch.arange(len(data_NK))
    for group in groups:
        if len(group) > 1:
            own = torch.tensor(group, device=data_NK.device)
            likeness = data_NK[own].double() @ noise_NK[own].double().T
            rows, columns = linear_sum_assignment(likeness.cpu().numpy(), maximize=True)
            chosen[own.cpu()[torch.from_numpy(rows)]] = own.cpu()[torch.from_numpy(columns)]
    return chosen
