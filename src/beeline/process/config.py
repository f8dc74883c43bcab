"""Options of the process and of the training times."""

from dataclasses import dataclass
from typing import Literal

from beeline.core.errors import UserError

Path = Literal["linear", "vp"]
SourceName = Literal["gaussian", "zero_mean"]
Density = Literal["uniform", "logit_normal"]
PredictionName = Literal["velocity", "noise", "data", "score", "v"]


@dataclass(frozen=True)
class ProcessConfig:
    """The path between data and noise.

    Args:
        path: linear (rectified flow) or vp (variance preserving).
        beta_min: noise rate of vp at t = 0.
        beta_max: noise rate of vp at t = 1.
        source: where noise comes from: gaussian, or zero_mean over the tokens of a sample.
    """

    path: Path = "linear"
    beta_min: float = 0.1
    beta_max: float = 20.0
    source: SourceName = "gaussian"

    def __post_init__(self) -> None:
        if self.path != "vp" and (self.beta_min, self.beta_max) != (0.1, 20.0):
            raise UserError(f"beta_min and beta_max belong to path vp and mean nothing to path {self.path}")
        if not 0 < self.beta_min <= self.beta_max:
            raise UserError(f"beta_min {self.beta_min} and beta_max {self.beta_max}: need 0 < beta_min <= beta_max")
        if self.beta_min + self.beta_max < 12:  # alpha(1) = exp(-(beta_min + beta_max) / 4) above 0.05
            raise UserError(
                f"beta_min {self.beta_min} and beta_max {self.beta_max}: too little noise; their sum must be at least "
                "12, or the data show through at t = 1, where sampling starts from noise alone"
            )


@dataclass(frozen=True)
class TimeConfig:
    """How training times are distributed.

    Args:
        density: uniform or logit_normal.
        mean: mean of the logit of t.
        sd: standard deviation of the logit of t, above 0.
        uniform_share: share of samples whose time is uniform all the same, 0 to 1.
        shift: s of t' = s t / (1 + (s - 1) t), above 0; 1 is off.
    """

    density: Density = "uniform"
    mean: float = 0.0
    sd: float = 1.0
    uniform_share: float = 0.1
    shift: float = 1.0

    def __post_init__(self) -> None:
        if self.density == "uniform" and (self.mean, self.sd, self.uniform_share) != (0.0, 1.0, 0.1):
            raise UserError("mean, sd and uniform_share belong to density logit_normal and mean nothing to uniform")
        if not (self.sd > 0 and self.shift > 0 and 0 <= self.uniform_share <= 1):
            raise UserError(
                f"need sd > 0, shift > 0 and uniform_share from 0 to 1, "
                f"not {self.sd}, {self.shift} and {self.uniform_share}"
            )
