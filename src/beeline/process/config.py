"""Options of the process and of the training times."""

from dataclasses import dataclass
from typing import Any, Literal

from beeline.core.errors import UserError, whole_number
from beeline.process.tables import noise_rates, remaining_signal

Path = Literal["linear", "vp", "gvp", "ve", "vdm", "sigmoid", "ddpm", "bridge", "regression"]
Schedule = Literal["linear", "scaled_linear", "cosine"]
LogSNR = Literal["linear", "learned"]
TimeInput = Literal["auto", "1 - t"]
SourceName = Literal["gaussian", "zero_mean", "population", "condition"]
Density = Literal["uniform", "logit_normal", "log_normal"]
Draw = Literal["independent", "antithetic"]
PredictionName = Literal["velocity", "noise", "data", "score", "v", "velocity_to_data", "edm"]

# Which paths an option means something to; options that are not here mean something to all of them.
_BELONGS: dict[str, tuple[str, ...]] = {
    "beta_min": ("vp", "ddpm"),
    "beta_max": ("vp", "ddpm"),
    "schedule": ("vp", "ddpm"),
    "levels": ("ddpm",),
    "betas": ("ddpm",),
    "sigma_min": ("ve",),
    "sigma_max": ("ve",),
    "rho": ("ve",),
    "gamma_min": ("vdm",),
    "gamma_max": ("vdm",),
    "log_snr": ("vdm",),
    "bridge_noise": ("bridge",),
    "time_input": ("linear", "vp", "gvp", "sigmoid"),
    "time_shift": ("linear", "vp", "gvp", "ve", "vdm", "sigmoid", "bridge"),
}


@dataclass(frozen=True)
class ProcessConfig:
    """The path between data and noise.

    Args:
        path: linear (rectified flow), vp (variance preserving), gvp (cos and sin), ve (variance exploding, EDM's), vdm
            (by its log-SNR), sigmoid, ddpm (discrete levels of noise), bridge (from data to a known end)
            or regression (none: one pass answers to the condition).
        beta_min: noise rate of vp at t = 0; levels times the first rate of ddpm.
        beta_max: noise rate of vp at t = 1; levels times the last rate of ddpm.
        source: where noise comes from: gaussian, zero_mean over the tokens of a sample, population: other data,
            which the modality offers, or condition: what process.end names, such as the control cell of each sample.
        levels: number of noise levels of ddpm, at least 2.
        schedule: how the rates of vp and ddpm grow: linear, cosine, or, on ddpm, scaled_linear (their roots do).
        betas: the rates of ddpm one by one, in place of a schedule.
        time_input: what the time embedding sees: auto (1000 t; of ddpm the index of the level, of ve ln(sigma) / 4, of
            vdm -log SNR) or 1 - t (for networks whose time runs from noise to data).
        sigma_min: noise that ve has at t = 0, above 0.
        sigma_max: noise that ve has at t = 1.
        rho: exponent of ve: sigma^(1/rho) grows evenly.
        sigma_data: standard deviation of the data that prediction edm and the input scaling of ve reckon with, above 0.
        gamma_min: -log SNR of vdm at t = 0.
        gamma_max: -log SNR of vdm at t = 1.
        log_snr: of vdm between its ends: linear in t, or learned.
        end: name of the condition, a map of the form of the data, that a bridge or source condition ends at.
        bridge_noise: s of the noise s/2 sin(pi t) of a bridge, above 0.
        time_shift: s of t' = s t / (1 + (s - 1) t), the time at which the path is at t; above 0, 1 is off.
    """

    path: Path = "linear"
    beta_min: float = 0.1
    beta_max: float = 20.0
    source: SourceName = "gaussian"
    levels: int = 1000
    schedule: Schedule = "linear"
    betas: tuple[float, ...] = ()
    time_input: TimeInput = "auto"
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0
    sigma_data: float = 0.5
    gamma_min: float = -13.3
    gamma_max: float = 13.0
    log_snr: LogSNR = "linear"
    end: str | None = None
    bridge_noise: float = 1.0
    time_shift: float = 1.0

    def __post_init__(self) -> None:
        self._refuse_what_means_nothing()
        self._check_ranges()
        if self.path == "ddpm":
            self._check_levels()
        elif self.schedule == "linear" and self.beta_min + self.beta_max < 12:  # alpha(1) = exp(-sum / 4) above 0.05
            raise UserError(
                f"beta_min {self.beta_min} and beta_max {self.beta_max}: too little noise; their sum must be at least "
                "12, or the data show through at t = 1, where sampling starts from noise alone"
            )

    def noise_rates(self) -> list[float]:
        """The rates of ddpm, level by level."""
        return list(self.betas) or noise_rates(self.schedule, self.levels, self.beta_min, self.beta_max)

    def _given(self, name: str) -> bool:
        default: Any = getattr(ProcessConfig, name)
        return bool(getattr(self, name) != default)

    def _refuse_what_means_nothing(self) -> None:
        for name, paths in _BELONGS.items():
            if self._given(name) and self.path not in paths:
                several = f"paths {', '.join(paths)}" if len(paths) > 1 else f"path {paths[0]}"
                raise UserError(f"{name} belongs to {several} and means nothing to path {self.path}")
        rates_given = self._given("beta_min") or self._given("beta_max")
        if rates_given and self.schedule == "cosine":
            raise UserError("beta_min and beta_max mean nothing to schedule cosine")
        if self.schedule == "scaled_linear" and self.path != "ddpm":
            raise UserError(f"schedule scaled_linear belongs to path ddpm; path {self.path} has linear and cosine")
        if self.betas and (rates_given or self.schedule != "linear" or self.levels not in (1000, len(self.betas))):
            raise UserError("betas are the whole table: leave out levels, schedule, beta_min and beta_max beside them")
        if self.log_snr == "learned" and self._given("time_shift"):
            raise UserError("time_shift means nothing to log_snr learned, which finds its own pace")
        if self.path == "bridge" and not self.end:
            raise UserError("path bridge: needs process.end, the name of the condition that it ends at")
        if self.source == "condition" and not self.end:
            raise UserError("source condition: needs process.end, the name of the condition that paths start from")
        if self.source == "condition" and self.path not in ("linear", "gvp"):
            raise UserError(f"source condition: goes with paths linear and gvp, which end in it alone, not {self.path}")
        if self.end and self.path != "bridge" and self.source != "condition":
            raise UserError("end belongs to path bridge and to source condition, and means nothing without them")

    def _check_ranges(self) -> None:
        if not 0 < self.beta_min <= self.beta_max < float("inf"):
            raise UserError(f"beta_min {self.beta_min} and beta_max {self.beta_max}: need 0 < beta_min <= beta_max")
        if not 0 < self.sigma_min < self.sigma_max < float("inf"):
            raise UserError(
                f"sigma_min {self.sigma_min} and sigma_max {self.sigma_max}: need 0 < sigma_min < sigma_max"
            )
        if not -30 <= self.gamma_min < self.gamma_max <= 30:
            raise UserError(
                f"gamma_min {self.gamma_min} and gamma_max {self.gamma_max}: need -30 <= gamma_min < gamma_max <= 30"
            )
        for name in ("rho", "sigma_data", "bridge_noise", "time_shift"):
            if not 0 < getattr(self, name) < float("inf"):
                raise UserError(f"{name} {getattr(self, name)}: must be above 0")

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
        density: uniform, logit_normal (of t) or log_normal (of sigma / alpha, as EDM draws it).
        mean: mean of the logit of t, or of ln(sigma / alpha).
        sd: standard deviation of the same, above 0.
        uniform_share: of logit_normal: share of samples whose time is uniform all the same, 0 to 1.
        shift: s of t' = s t / (1 + (s - 1) t), above 0; 1 is off.
        draw: independent, or antithetic: the samples of a batch are spread over the times evenly, at less variance.
    """

    density: Density = "uniform"
    mean: float = 0.0
    sd: float = 1.0
    uniform_share: float = 0.1
    shift: float = 1.0
    draw: Draw = "independent"

    def __post_init__(self) -> None:
        if self.density == "uniform" and (self.mean, self.sd) != (0.0, 1.0):
            raise UserError("mean and sd belong to densities logit_normal and log_normal and mean nothing to uniform")
        if self.density != "logit_normal" and self.uniform_share != 0.1:
            raise UserError(f"uniform_share belongs to density logit_normal and means nothing to {self.density}")
        for name in ("sd", "shift"):
            if not 0 < getattr(self, name) < float("inf"):
                raise UserError(f"{name} {getattr(self, name)}: must be above 0")
        if not abs(self.mean) < float("inf"):
            raise UserError(f"mean {self.mean}: must be a finite number")
        if not 0 <= self.uniform_share <= 1:
            raise UserError(f"uniform_share {self.uniform_share}: must be from 0 to 1")
