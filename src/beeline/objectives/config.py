"""Options of the objective."""

from dataclasses import dataclass, field
from typing import Literal

from beeline.process.config import PredictionName, TimeConfig

Weighting = Literal["auto", "uniform", "snr", "min_snr"]


@dataclass(frozen=True)
class ObjectiveConfig:
    """Regression of a prediction at random times.

    Args:
        prediction: what the network predicts: velocity, noise, data, score or v.
        weighting: which error counts evenly over time: uniform (of the prediction itself), snr (of the noise),
            min_snr (of the noise, less where little of it is left), or auto: uniform, save for score, which grows
            without bound towards the data and takes snr.
        time: how training times are distributed.
    """

    prediction: PredictionName = "velocity"
    weighting: Weighting = "auto"
    time: TimeConfig = field(default_factory=TimeConfig)
