"""Options of the objective."""

from dataclasses import dataclass, field
from typing import Literal

from beeline.core.errors import UserError
from beeline.process.config import PredictionName, TimeConfig

Weighting = Literal["auto", "uniform", "snr", "min_snr"]
Variance = Literal["none", "learned"]
Loss = Literal["auto", "mse", "hybrid", "vlb"]


@dataclass(frozen=True)
class ObjectiveConfig:
    """Regression of a prediction at random times, and on path ddpm the variance of its steps.

    Args:
        prediction: what the network predicts: velocity, noise, data, score, v or velocity_to_data.
        weighting: which error counts evenly over time: uniform (of the prediction itself), snr (of the noise),
            min_snr (of the noise, less where little of it is left), or auto: uniform, save for score, which grows
            without bound towards the data and takes snr.
        time: how training times are distributed.
        variance: none, or learned: on path ddpm the network gives the variance of ancestral steps as a second output.
        loss: mse, hybrid (mse plus the variational bound, which there trains the variance alone), vlb (the variational
            bound in bits a number, its first term as for 8-bit data on [-1, 1]), or auto: hybrid where a variance is
            learned, else mse.
        vlb_weight: of the bound's term of one step in the hybrid loss, above 0; levels / 1000 is the weight 0.001 of
            the whole bound.
    """

    prediction: PredictionName = "velocity"
    weighting: Weighting = "auto"
    time: TimeConfig = field(default_factory=TimeConfig)
    variance: Variance = "none"
    loss: Loss = "auto"
    vlb_weight: float = 1.0

    def __post_init__(self) -> None:
        learned = self.variance == "learned"
        if learned and self.loss == "mse":
            raise UserError("loss mse trains no variance: use loss hybrid or vlb, or variance none")
        if not learned and self.loss in ("hybrid", "vlb"):
            raise UserError(f"loss {self.loss} trains the variance of steps: it needs variance learned")
        if not 0 < self.vlb_weight < float("inf"):
            raise UserError(f"vlb_weight {self.vlb_weight}: must be above 0")
        if self.vlb_weight != 1 and (self.loss == "vlb" or not learned):
            raise UserError("vlb_weight belongs to loss hybrid and means nothing to others")
        if self.loss == "vlb" and (self.weighting not in ("auto", "uniform") or self.time != TimeConfig()):
            raise UserError(
                "loss vlb is a bound only with even times and weights: take density uniform, shift 1, no weighting"
            )

    @property
    def resolved_loss(self) -> Loss:
        """The loss that auto means."""
        if self.loss != "auto":
            return self.loss
        return "hybrid" if self.variance == "learned" else "mse"
