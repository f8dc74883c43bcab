"""Options of sampling."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

from beeline.core.errors import UserError, whole_number

SamplerName = Literal["euler", "heun", "ddpm", "ddim"]
Grid = Literal["auto", "uniform", "quadratic", "cosine", "respaced", "strided"]
FixedVariance = Literal["large", "small"]


@dataclass(frozen=True)
class SampleConfig:
    """How samples are drawn.

    Args:
        sampler: heun (second order, two network passes a step), euler (first order, one pass), ddpm (ancestral,
            draws noise in every step, one pass) or ddim (first order, draws noise as eta says, one pass).
        steps: number of steps, above 0.
        grid: where the nodes lie: uniform, quadratic (dense near the data), cosine (dense at both ends), respaced
            (levels of path ddpm evenly spread, the first and the last among them), strided (every k-th of its levels)
            or auto: on path ddpm respaced for sampler ddpm and strided for ddim, else uniform.
        shift: s of t' = s t / (1 + (s - 1) t), which moves the nodes towards the noise for s > 1; above 0, 1 is off.
        cfg_scale: classifier-free guidance u + s (c - u); 1 is off and costs nothing, others double the passes.
        guide_channels: native channels to guide; all when absent.
        precision: fp32, or bf16 (faster where the hardware computes in it, and no longer the same whatever the batch).
        eta: noise that sampler ddim draws, as a share of the ancestral deviation: 0 to 1; 0 draws none.
        variance: of the steps of sampler ddpm where the network has learned none: large (beta) or small (beta-tilde).
        clip: samplers ddpm and ddim keep the expected data, as the network sees data, within [-clip, clip]; off when
            absent.
    """

    sampler: SamplerName = "heun"
    steps: int = 20
    grid: Grid = "auto"
    shift: float = 1.0
    cfg_scale: float = 1.0
    guide_channels: tuple[int, ...] | None = None
    precision: Literal["fp32", "bf16"] = "fp32"
    eta: float = 0.0
    variance: FixedVariance = "large"
    clip: float | None = None

    def __post_init__(self) -> None:
        whole_number("steps", self.steps, 1, 100_000)
        if not 0 < self.shift < float("inf"):
            raise UserError(f"shift {self.shift}: must be above 0")
        if not abs(self.cfg_scale) < float("inf"):
            raise UserError(f"cfg_scale {self.cfg_scale}: must be a finite number")
        if not 0 <= self.eta <= 1:
            raise UserError(f"eta {self.eta}: must be from 0 to 1")
        if self.clip is not None and not 0 < self.clip < float("inf"):
            raise UserError(f"clip {self.clip}: must be above 0")
        self._refuse_what_means_nothing()

    def _refuse_what_means_nothing(self) -> None:
        if self.eta != 0 and self.sampler != "ddim":
            raise UserError(f"eta {self.eta:g}: belongs to sampler ddim and means nothing to {self.sampler}")
        if self.variance != "large" and self.sampler != "ddpm":
            raise UserError(f"variance {self.variance}: belongs to sampler ddpm and means nothing to {self.sampler}")
        if self.clip is not None and self.sampler not in ("ddpm", "ddim"):
            raise UserError(f"clip {self.clip:g}: belongs to samplers ddpm and ddim, means nothing to {self.sampler}")
        if self.grid in ("respaced", "strided") and self.sampler not in ("ddpm", "ddim"):
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
    cfg_scale: float
    guide_channels: Sequence[int] | None
    precision: Literal["fp32", "bf16"]
    eta: float
    variance: FixedVariance
    clip: float | None
