"""Options of sampling."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

from beeline.core.errors import UserError, whole_number

SamplerName = Literal["euler", "heun"]
Grid = Literal["uniform", "quadratic", "cosine"]


@dataclass(frozen=True)
class SampleConfig:
    """How samples are drawn.

    Args:
        sampler: heun (second order, two network passes a step) or euler (first order, one pass).
        steps: number of steps, above 0.
        grid: where the nodes lie: uniform, quadratic (dense near the data) or cosine (dense at both ends).
        shift: s of t' = s t / (1 + (s - 1) t), which moves the nodes towards the noise for s > 1; above 0, 1 is off.
        cfg_scale: classifier-free guidance u + s (c - u); 1 is off and costs nothing, others double the passes.
        guide_channels: native channels to guide; all when absent.
        precision: fp32, or bf16 (faster where the hardware computes in it, and no longer the same whatever the batch).
    """

    sampler: SamplerName = "heun"
    steps: int = 20
    grid: Grid = "uniform"
    shift: float = 1.0
    cfg_scale: float = 1.0
    guide_channels: tuple[int, ...] | None = None
    precision: Literal["fp32", "bf16"] = "fp32"

    def __post_init__(self) -> None:
        whole_number("steps", self.steps, 1, 100_000)
        if not 0 < self.shift < float("inf"):
            raise UserError(f"shift {self.shift}: must be above 0")
        if not abs(self.cfg_scale) < float("inf"):
            raise UserError(f"cfg_scale {self.cfg_scale}: must be a finite number")


class SampleOptions(TypedDict, total=False):
    """The same options as keywords, for functions that replace some of them."""

    sampler: SamplerName
    steps: int
    grid: Grid
    shift: float
    cfg_scale: float
    guide_channels: Sequence[int] | None
    precision: Literal["fp32", "bf16"]
