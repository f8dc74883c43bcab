"""Families of diffusion models, each a set of options of path, objective and sampling: ``objective.family NAME``.

    flow            rectified flow: the velocity on the straight path (Liu et al. 2022), times of Esser et al. 2024
    ddpm            the noise at discrete levels (Ho et al. 2020), sampled by DDIM
    improved_ddpm   cosine levels, learned variance, the hybrid loss (Nichol & Dhariwal 2021)
    score           the score on the variance-preserving SDE, weighted by sigma^2
                    (Song et al. 2021, "Score-based generative modeling", equations 7 and 33)
    edm             F of D = c_skip x + c_out F, log-normal noise (Karras et al. 2022, Table 1); sampled by DPM-Solver++
    regression      the mean answer to a condition, in one pass and without noise: the baseline of the same network
    vdm             the variational bound, learned log-SNR, antithetic times (Kingma et al. 2021)

The score weighted by sigma^2 is the noise evenly weighted: of the two the network is asked for the noise, whose size
does not grow towards the data.
"""

from __future__ import annotations

from typing import Any

# Options that describe the data, not the family: they stay when a family takes the place of a recipe's sections.
OF_THE_DATA: dict[str, tuple[str, ...]] = {
    "process": ("source", "sigma_data"),
    "objective": ("channel_weights", "data_levels", "coupling"),
    "sample": ("guide_channels", "precision", "matmul", "compile"),
}

FAMILIES: dict[str, dict[str, dict[str, Any]]] = {
    "none": {},
    "flow": {
        "process": {"path": "linear"},
        "objective": {"prediction": "velocity", "time": {"density": "logit_normal"}},
        "sample": {"sampler": "heun", "steps": 20},
    },
    "ddpm": {
        "process": {"path": "ddpm"},
        "objective": {"prediction": "noise"},
        "sample": {"sampler": "ddim", "steps": 50},
    },
    "improved_ddpm": {
        "process": {"path": "ddpm", "schedule": "cosine"},
        "objective": {"prediction": "noise", "variance": "learned", "loss": "hybrid"},
        "sample": {"sampler": "ddpm", "steps": 100},
    },
    "score": {
        "process": {"path": "vp"},
        "objective": {"prediction": "noise", "weighting": "snr"},
        "sample": {"sampler": "ddim", "steps": 50},
    },
    # Not by Heun: its steps are in t here, not in sigma as theirs, and on this path must be short.
    "edm": {
        "process": {"path": "ve"},
        "objective": {"prediction": "edm", "time": {"density": "log_normal", "mean": -1.2, "sd": 1.2}},
        "sample": {"sampler": "dpmpp_2m", "steps": 32},
    },
    "regression": {
        "process": {"path": "regression"},
        "objective": {"prediction": "data"},
        "sample": {"sampler": "one_pass", "steps": 1},
    },
    "vdm": {
        "process": {"path": "vdm", "log_snr": "learned"},
        "objective": {"prediction": "noise", "loss": "vlb", "time": {"draw": "antithetic"}},
        "sample": {"sampler": "ddim", "steps": 50},
    },
}
