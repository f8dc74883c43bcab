"""Options of the objective."""

from dataclasses import dataclass, field
from typing import Literal

from beeline.core.errors import UserError, whole_number
from beeline.process.config import PredictionName, TimeConfig

Family = Literal["none", "flow", "ddpm", "improved_ddpm", "score", "edm", "regression", "vdm"]
Weighting = Literal["auto", "uniform", "snr", "min_snr", "truncated_snr", "learned"]
Variance = Literal["none", "learned"]
Loss = Literal["auto", "mse", "huber", "l1", "hybrid", "vlb"]
CouplingName = Literal["independent", "optimal_transport"]


@dataclass(frozen=True)
class ObjectiveConfig:
    """Regression of a prediction at random times, on path ddpm the variance of its steps, or a variational bound.

    Args:
        prediction: what the network predicts: velocity, noise, data, score, v, velocity_to_data or edm.
        weighting: which error counts evenly over time: uniform (of the prediction itself), snr (of the noise),
            min_snr (of the noise, less where little of it is left), truncated_snr (of data or of noise, whichever is
            larger), learned (the prediction's, each time by its own spread), or auto: uniform, save for score, which
            grows without bound towards the data and takes snr.
        time: how training times are distributed.
        variance: none, or learned: on path ddpm the network gives the variance of ancestral steps as a second output.
        loss: mse, huber (squares of small errors, sizes of large ones), l1, hybrid (mse plus the variational bound,
            which there trains the variance alone), vlb (the variational bound in bits a number, on paths ddpm and vdm),
            or auto: hybrid where a variance is learned, else mse.
        vlb_weight: of the bound's term of one step in the hybrid loss, above 0; levels / 1000 is the weight 0.001 of
            the whole bound.
        huber_delta: error at which loss huber goes over from squares to sizes, above 0.
        data_levels: values that a number of the data can take, evenly from -1 to 1, for the first term of a bound.
        channel_weights: how much each native channel counts; all the same when absent.
        coupling: which noise meets which data: independent, or optimal_transport: within each batch and condition the
            exchange of noise that shortens the paths most (in training alone, not in held-out losses).
        family: a set of options of process, objective and sampling by name, which options given beside it win over:
            flow (rectified flow), ddpm (Ho et al. 2020), improved_ddpm (Nichol & Dhariwal 2021), score (Song et al.
            2021), edm (Karras et al. 2022), vdm (Kingma et al. 2021) or regression (one pass without noise,
            a baseline).
    """

    prediction: PredictionName = "velocity"
    weighting: Weighting = "auto"
    time: TimeConfig = field(default_factory=TimeConfig)
    variance: Variance = "none"
    loss: Loss = "auto"
    vlb_weight: float = 1.0
    huber_delta: float = 1.0
    data_levels: int = 256
    channel_weights: tuple[float, ...] | None = None
    coupling: CouplingName = "independent"
    family: Family = "none"

    def __post_init__(self) -> None:
        learned = self.variance == "learned"
        if learned and self.loss in ("mse", "huber", "l1"):
            raise UserError(f"loss {self.loss} trains no variance: use loss hybrid or vlb, or variance none")
        if not learned and self.loss == "hybrid":
            raise UserError("loss hybrid trains the variance of steps: it needs variance learned")
        if not 0 < self.vlb_weight < float("inf"):
            raise UserError(f"vlb_weight {self.vlb_weight}: must be above 0")
        if self.vlb_weight != 1 and (self.loss == "vlb" or not learned):
            raise UserError("vlb_weight belongs to loss hybrid and means nothing to others")
        if not 0 < self.huber_delta < float("inf"):
            raise UserError(f"huber_delta {self.huber_delta}: must be above 0")
        if self.huber_delta != 1 and self.loss != "huber":
            raise UserError(f"huber_delta belongs to loss huber and means nothing to {self.loss}")
        whole_number("data_levels", self.data_levels, 2, 65536)
        if self.data_levels != 256 and self.loss not in ("vlb", "hybrid", "auto"):
            raise UserError(f"data_levels belongs to losses vlb and hybrid and means nothing to {self.loss}")
        if self.loss == "vlb":
            self._check_bound()
        weights = self.channel_weights
        if weights is not None and not (any(weights) and all(0 <= each < float("inf") for each in weights)):
            raise UserError(f"channel_weights {list(weights)}: must not be negative, and one of them above 0")

    def _check_bound(self) -> None:
        if self.weighting not in ("auto", "uniform") or (self.time.density, self.time.shift) != ("uniform", 1.0):
            raise UserError(
                "loss vlb is a bound only with even times and weights: take density uniform, shift 1, no weighting"
            )
        if self.coupling != "independent":
            raise UserError("loss vlb is a bound only with noise that knows nothing of the data: leave coupling out")
        if self.channel_weights is not None:
            raise UserError("loss vlb is a bound only where all channels count the same: leave channel_weights out")

    @property
    def resolved_loss(self) -> Loss:
        """The loss that auto means."""
        if self.loss != "auto":
            return self.loss
        return "hybrid" if self.variance == "learned" else "mse"
