"""Options of the process and of the training times."""

from dataclasses import dataclass
from typing import Literal

from beeline.core.errors import UserError, whole_number
from beeline.process.tables import noise_rates, remaining_signal

Path = Literal["linear", "vp", "ddpm"]
Schedule = Literal["linear", "scaled_linear", "cosine"]
TimeInput = Literal["auto", "1 - t"]
SourceName = Literal["gaussian", "zero_mean"]
Density = Literal["uniform", "logit_normal"]
PredictionName = Literal["velocity", "noise", "data", "score", "v", "velocity_to_data"]


@dataclass(frozen=True)
class ProcessConfig:
    """The path between data and noise.

    Args:
        path: linear (rectified flow), vp (variance preserving) or ddpm (discrete levels of noise).
        beta_min: noise rate of vp at t = 0; levels times the first rate of ddpm.
        beta_max: noise rate of vp at t = 1; levels times the last rate of ddpm.
        source: where noise comes from: gaussian, or zero_mean over the tokens of a sample.
        levels: number of noise levels of ddpm, at least 2.
        schedule: how the rates of ddpm grow: linear, scaled_linear (their square roots do) or cosine.
        betas: the rates of ddpm one by one, in place of a schedule.
        time_input: what the time embedding sees: auto (1000 t; of ddpm the index of the level) or 1 - t (linear and
            vp, for networks whose time runs from noise to data).
    """

    path: Path = "linear"
    beta_min: float = 0.1
    beta_max: float = 20.0
    source: SourceName = "gaussian"
    levels: int = 1000
    schedule: Schedule = "linear"
    betas: tuple[float, ...] = ()
    time_input: TimeInput = "auto"

    def __post_init__(self) -> None:
        self._refuse_what_means_nothing()
        if not 0 < self.beta_min <= self.beta_max < float("inf"):
            raise UserError(f"beta_min {self.beta_min} and beta_max {self.beta_max}: need 0 < beta_min <= beta_max")
        if self.path == "ddpm":
            self._check_levels()
        elif self.beta_min + self.beta_max < 12:  # alpha(1) = exp(-(beta_min + beta_max) / 4) above 0.05
            raise UserError(
                f"beta_min {self.beta_min} and beta_max {self.beta_max}: too little noise; their sum must be at least "
                "12, or the data show through at t = 1, where sampling starts from noise alone"
            )

    def noise_rates(self) -> list[float]:
        """The rates of ddpm, level by level."""
        return list(self.betas) or noise_rates(self.schedule, self.levels, self.beta_min, self.beta_max)

    def _refuse_what_means_nothing(self) -> None:
        rates_given = (self.beta_min, self.beta_max) != (0.1, 20.0)
        if rates_given and self.path not in ("vp", "ddpm"):
            raise UserError(f"beta_min and beta_max belong to paths vp and ddpm and mean nothing to path {self.path}")
        if self.path != "ddpm" and (self.levels, self.schedule, self.betas) != (1000, "linear", ()):
            raise UserError(f"levels, schedule and betas belong to path ddpm and mean nothing to path {self.path}")
        if rates_given and self.schedule == "cosine":
            raise UserError("beta_min and beta_max mean nothing to schedule cosine")
        if self.betas and (rates_given or self.schedule != "linear" or self.levels not in (1000, len(self.betas))):
            raise UserError("betas are the whole table: leave out levels, schedule, beta_min and beta_max beside them")
        if self.path == "ddpm" and self.time_input != "auto":
            raise UserError("time_input belongs to paths linear and vp; with path ddpm networks see the level's index")

    def _check_levels(self) -> None:
        whole_number("levels", self.levels, 2, 100_000)
        betas = self.noise_rates()
        if len(betas) < 2 or not all(0 < beta < 1 for beta in betas):
            raise UserError(
                f"betas: need at least 2 rates, each above 0 and below 1, not {len(betas)} from {min(betas):g} to "
                f"{max(betas):g}" + ("" if self.betas else "; with beta_max / levels below 1 they are")
            )
        if remaining_signal(betas) > 0.1:
            raise UserError(
                f"betas: too little noise; {remaining_signal(betas):.2g} of the data is left at the last level, where "
                "sampling starts from noise alone, and it may be 0.1 at most"
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
