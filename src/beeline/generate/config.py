"""Options of edits."""

from dataclasses import dataclass
from typing import Any, Literal

from beeline.core.errors import UserError, whole_number

How = Literal["invert", "renoise", "inpaint", "interpolate"]

# Which way of editing an option means something to.
OWN_OPTIONS: dict[str, How] = {
    "strength": "renoise",
    "resample": "inpaint",
    "frames": "interpolate",
    "seeds": "interpolate",
}


@dataclass(frozen=True)
class EditConfig:
    """How data are edited.

    Args:
        how: invert (to the noise that gives them, and from there to what they would be under another condition),
            renoise (add noise and take it away again), inpaint (keep one part and make the other anew), or interpolate
            (a strip of samples from one to another).
        strength: of renoise: the time up to which noise is added, above 0 and at most 1; the more, the freer.
        resample: of inpaint: times that each step is taken, at least 1; the more, the better the parts fit.
        frames: of interpolate: samples of the strip, both ends among them, at least 2.
        seeds: of interpolate: two seeds, the first sample of each of which is an end of the strip, in place of inputs.
    """

    how: How
    strength: float = 0.5
    resample: int = 5
    frames: int = 8
    seeds: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for name, how in OWN_OPTIONS.items():
            value: Any = getattr(self, name)
            if value != getattr(EditConfig, name) and self.how != how:
                shown = f"{value:g}" if isinstance(value, float) else value
                raise UserError(f"{name} {shown}: belongs to {how} and means nothing to {self.how}")
        if not 0 < self.strength <= 1:
            raise UserError(f"strength {self.strength:g}: must be a time above 0 and at most 1")
        whole_number("resample", self.resample, 1, 1000)
        whole_number("frames", self.frames, 2, 1000)
        for seed in self.seeds or ():
            whole_number("seeds", seed, 0)
