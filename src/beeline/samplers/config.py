"""Options of sampling."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, get_args

from beeline.core.errors import UserError, whole_number

SamplerName = Literal[
    "euler",
    "heun",
    "midpoint",
    "rk4",
    "rk38",
    "dopri5",
    "dpmpp_2m",
    "dpmpp_2m_sde",
    "dpmpp_3m",
    "ddpm",
    "ddim",
    "euler_maruyama",
    "stochastic_heun",
    "one_pass",
]
Grid = Literal["auto", "uniform", "quadratic", "cosine", "karras", "log_snr", "respaced", "strided"]
FixedVariance = Literal["large", "small"]
Domain = Literal["cells", "trained"]
Diffusion = Literal["sigma", "sigma_squared", "vp", "constant", "linear", "decreasing", "increasing_decreasing"]

# Which samplers an option means something to; options that are not here mean something to all of them.
OWN_OPTIONS: dict[str, tuple[SamplerName, ...]] = {
    "eta": ("ddim",),
    "variance": ("ddpm",),
    "clip": ("ddpm", "ddim"),
    "diffusion": ("euler_maruyama", "stochastic_heun"),
    "diffusion_scale": ("euler_maruyama", "stochastic_heun"),
    "rtol": ("dopri5",),
    "atol": ("dopri5",),
}
LEVEL_GRIDS = ("respaced", "strided")


@dataclass(frozen=True)
class SampleConfig:
    """How samples are drawn.

    Args:
        sampler: solvers of the flow's ODE: euler (first order, one network pass a step), heun and midpoint (second,
            two), rk4 and rk38 (fourth, four), dopri5 (fifth, chooses its own steps), dpmpp_2m (second, one), dpmpp_3m
            (third, one), ddim (first, one; draws noise as eta says). Samplers that draw noise in every step: ddpm
            (ancestral, one pass), dpmpp_2m_sde (one), euler_maruyama (one), stochastic_heun (two). Of regressions, and
            of nothing else: one_pass.
        steps: number of steps, above 0; sampler dopri5 chooses them itself.
        grid: where the nodes lie: uniform, quadratic (dense near the data), cosine (dense at both ends), karras (by
            sigma^(1/7)), log_snr (evenly by log SNR), respaced (levels of path ddpm evenly spread, the first and the
            last among them), strided (every k-th of its levels) or auto: log_snr for dpmpp samplers, on path ddpm
            respaced for sampler ddpm and strided for ddim, else uniform.
        shift: s of t' = s t / (1 + (s - 1) t), which moves the nodes towards the noise for s > 1; above 0, 1 is off.
        cfg_scale: classifier-free guidance u + s (c - u); 1 is off and costs nothing, others double the passes.
        guide_channels: native channels to guide; all when absent.
        cfg_interval: times [from, to], within 0 to 1, at which to guide; all when absent.
        cfg_rescale: share, 0 to 1, by which guided predictions are brought back to the spread of unguided ones.
        guide_by: a trained model, worse than this one, whose prediction guidance leads away from in place of the
            unconditional one; a run folder or a model file.
        precision: fp32, or bf16 (faster where the hardware computes in it, and no longer the same whatever the batch).
        matmul: how fp32 matrices are multiplied, as in training: exact, fast, or auto.
        compile: run blocks that torch.compile has made for the shapes at hand: quicker once that is done, the same but
            for rounding.
        cuda_graph: record what a pass of the network does on a GPU and play it again, as in training.
        eta: noise that sampler ddim draws, as a share of the ancestral deviation: 0 to 1; 0 draws none.
        variance: of the steps of sampler ddpm where the network has learned none: large (beta) or small (beta-tilde).
        clip: samplers ddpm and ddim keep the expected data, as the network sees data, within [-clip, clip]; off when
            absent.
        diffusion: w(t) of euler_maruyama and stochastic_heun: sigma, sigma_squared, vp (which turns the flow of path vp
            into its SDE), constant, linear (t), decreasing, increasing_decreasing.
        diffusion_scale: factor on it, at least 0; 0 draws no noise.
        rtol: error that sampler dopri5 allows itself in a step, as a share of the sample's size, above 0.
        atol: the same in units of normalised data, above 0.
        domain: what samples of another shape than the training data cover: more or less of the same, cells being as
            large as they were (cells), or the same domain, cells being finer or coarser (trained).
    """

    sampler: SamplerName = "heun"
    steps: int = 20
    grid: Grid = "auto"
    shift: float = 1.0
    cfg_scale: float = 1.0
    guide_channels: tuple[int, ...] | None = None
    cfg_interval: tuple[float, float] | None = None
    cfg_rescale: float = 0.0
    guide_by: str | None = None
    precision: Literal["fp32", "bf16"] = "fp32"
    matmul: Literal["auto", "exact", "fast"] = "auto"
    compile: bool = False
    cuda_graph: bool = False
    eta: float = 0.0
    variance: FixedVariance = "large"
    clip: float | None = None
    diffusion: Diffusion = "sigma"
    diffusion_scale: float = 1.0
    rtol: float = 1e-3
    atol: float = 1e-3
    domain: Domain = "cells"

    def __post_init__(self) -> None:
        whole_number("steps", self.steps, 1, 100_000)
        for name in ("shift", "rtol", "atol"):
            if not 0 < getattr(self, name) < float("inf"):
                raise UserError(f"{name} {getattr(self, name)}: must be above 0")
        if not abs(self.cfg_scale) < float("inf"):
            raise UserError(f"cfg_scale {self.cfg_scale}: must be a finite number")
        for name in ("eta", "cfg_rescale"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{name} {getattr(self, name)}: must be from 0 to 1")
        if self.cfg_interval is not None and not 0 <= self.cfg_interval[0] < self.cfg_interval[1] <= 1:
            raise UserError(f"cfg_interval {list(self.cfg_interval)}: needs two times, 0 <= from < to <= 1")
        if self.clip is not None and not 0 < self.clip < float("inf"):
            raise UserError(f"clip {self.clip}: must be above 0")
        if not 0 <= self.diffusion_scale < float("inf"):
            raise UserError(f"diffusion_scale {self.diffusion_scale}: must be at least 0")
        if self.domain not in get_args(Domain):
            raise UserError(f"domain {self.domain}: need {' or '.join(get_args(Domain))}")
        self._refuse_what_means_nothing()

    def _refuse_what_means_nothing(self) -> None:
        for name, samplers in OWN_OPTIONS.items():
            value: Any = getattr(self, name)
            if value != getattr(SampleConfig, name) and self.sampler not in samplers:
                shown = f"{value:g}" if isinstance(value, float) else value
                several = f"samplers {' and '.join(samplers)}" if len(samplers) > 1 else f"sampler {samplers[0]}"
                raise UserError(f"{name} {shown}: belongs to {several} and means nothing to {self.sampler}")
        for name in ("cfg_interval", "cfg_rescale", "guide_by"):
            if self.cfg_scale == 1 and getattr(self, name) != getattr(SampleConfig, name):
                raise UserError(f"{name}: means nothing at cfg_scale 1, which is no guidance; give another cfg_scale")
        if self.grid in LEVEL_GRIDS and self.sampler not in ("ddpm", "ddim"):
            raise UserError(
                f"grid {self.grid}: ends at t = 0, where the velocity of discrete levels is infinite; {self.sampler} "
                "follows the velocity, so use sampler ddpm or ddim, or grid uniform"
            )


class SampleOptions(TypedDict, total=False):
    """The same options as keywords, for functions that replace some of them."""

    sampler: SamplerName
    steps: int
    grid: Grid
    shift: float
    cfg_scale: float | Sequence[float]
    guide_channels: Sequence[int] | None
    cfg_interval: tuple[float, float] | None
    cfg_rescale: float
    guide_by: str | None
    precision: Literal["fp32", "bf16"]
    matmul: Literal["auto", "exact", "fast"]
    compile: bool
    cuda_graph: bool
    eta: float
    variance: FixedVariance
    clip: float | None
    diffusion: Diffusion
    diffusion_scale: float
    rtol: float
    atol: float
    domain: Domain
