"""Objectives, made wrong."""

from __future__ import annotations

from tests.mutations.mutation import Mutation

OBJECTIVES = [
    Mutation("objectives/flow.py", "self.process.mix(data, noise, t)", "self.process.mix(data, noise, 1.0 - t)"),
    Mutation("objectives/flow.py", "return self.weight(t) * squared", "return squared"),
    Mutation("objectives/flow.py", 'batch.conditions.drop(key.fold("drop"))', "batch.conditions"),
    Mutation("objectives/flow.py", "error.square()", "error.abs()"),
    Mutation("objectives/flow.py", "predicted.as_kind(kind) -", "predicted.as_kind(kind) +"),
    Mutation("objectives/flow.py", "predicted.t, kind)", "1.0 - predicted.t, kind)"),
    Mutation("objectives/flow.py", "process.interval(config.prediction)", "(0.0, 1.0)"),
    Mutation("objectives/weights.py", '"snr" if config.prediction == "score" else "uniform"', '"uniform"'),
    Mutation("objectives/weights.py", "(alpha / (alpha * b - sigma * a)).square()", "alpha / (alpha * b - sigma * a)"),
    Mutation("objectives/weights.py", "weight = (alpha / (alpha", "weight = (sigma / (alpha"),
    Mutation("objectives/weights.py", "torch.minimum(", "torch.maximum("),
    Mutation("objectives/weights.py", "5.0 * (sigma", "4.0 * (sigma"),
    Mutation("objectives/ddpm.py", "2 if config.variance == ", "1 if config.variance == "),
    Mutation("objectives/ddpm.py", "self.process.time(place.long()", "self.process.time((place.long() + 1)"),
    Mutation("objectives/ddpm.py", "self.process.levels * bound_term", "bound_term"),
    Mutation("objectives/ddpm.py", "learn_mean=False", "learn_mean=True"),
    Mutation("objectives/ddpm.py", "learn_mean=True", "learn_mean=False"),
    Mutation("objectives/ddpm.py", "error + self.vlb_weight *", "error +"),
    Mutation("objectives/ddpm.py", "error = self.weight(t) * squared_error", "error = squared_error"),
    Mutation("objectives/bound.py", "_HALF_A_LEVEL = 1.0 / 255.0", "_HALF_A_LEVEL = 1.0 / 256.0"),
    Mutation("objectives/bound.py", "0.5 * (torch.expm1(ratio) - ratio + (", "0.5 * (torch.expm1(ratio) + ratio + ("),
    Mutation("objectives/bound.py", "0.5 * (torch.expm1", "(torch.expm1"),
    Mutation("objectives/bound.py", "(exact - mean).square() / log_variance.exp()", "(exact - mean).square()"),
    Mutation("objectives/bound.py", "ratio = small - log_variance", "ratio = log_variance - small"),
    Mutation("objectives/bound.py", "data.expand(level == 0)", "data.expand(level < 0)"),
    Mutation("objectives/bound.py", "/ math.log(2.0)", ""),
    Mutation("objectives/bound.py", "share * large + (1.0 - share) * small", "share * small + (1.0 - share) * large"),
    Mutation("objectives/bound.py", "torch.exp(-0.5 * log_variance)", "torch.exp(-log_variance)"),
    Mutation("objectives/bound.py", "x < -0.999, up_to", "x < -0.999, 1.0 - up_to"),
    Mutation("objectives/bound.py", "(x + 0.044715 * x.pow(3))", "(x - 0.044715 * x.pow(3))"),
    Mutation("objectives/bound.py", "level.clamp(min=1)", "level.clamp(min=2)"),
]
