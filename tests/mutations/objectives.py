"""Objectives, made wrong."""

from __future__ import annotations

from tests.mutations.mutation import Mutation

OBJECTIVES = [
    Mutation("objectives/flow.py", "self.process.mix(data, noise, t)", "self.process.mix(data, noise, 1.0 - t)"),
    Mutation("objectives/flow.py", 'batch.conditions.drop(key.fold("drop"))', "batch.conditions"),
    Mutation("objectives/flow.py", "process.interval(config.prediction)", "(0.0, 1.0)"),
    Mutation("objectives/flow.py", "self.process.placed(batch.tokens, batch.conditions)", "batch.tokens"),
    Mutation("objectives/losses.py", "return error.square()", "return error.abs()"),
    Mutation("objectives/losses.py", "return error.abs()", "return error.square()"),
    Mutation(
        "objectives/losses.py",
        "predicted.as_kind(self.prediction) - target",
        "predicted.as_kind(self.prediction) + target",
    ),
    Mutation(
        "objectives/losses.py", "noise, predicted.t, self.prediction)", "noise, 1.0 - predicted.t, self.prediction)"
    ),
    Mutation("objectives/losses.py", "self.weight(predicted.t).sqrt()", "self.weight(predicted.t)"),
    Mutation("objectives/losses.py", "inside * (2.0 * size - inside)", "inside * (size - 0.5 * inside)"),
    Mutation("objectives/losses.py", "size.clamp(max=delta)", "size.clamp(min=delta)"),
    Mutation("objectives/losses.py", "channels / channels.mean()", "channels"),
    Mutation("objectives/losses.py", "each * self.channels.to(each)", "each"),
    Mutation("objectives/losses.py", "return loss if self.learned is None", "return loss if True"),
    Mutation("objectives/weights.py", '"snr" if config.prediction == "score" else "uniform"', '"uniform"'),
    Mutation(
        "objectives/weights.py", "(part / (alpha * b - sigma * a)).square()", "(part / (alpha * b - sigma * a)).abs()"
    ),
    Mutation("objectives/weights.py", "for part in (alpha, sigma)", "for part in (sigma, alpha)"),
    Mutation("objectives/weights.py", "torch.minimum(", "torch.maximum("),
    Mutation(
        "objectives/weights.py", "return torch.maximum(of_noise, of_data)", "return torch.minimum(of_noise, of_data)"
    ),
    Mutation("objectives/weights.py", "5.0 * of_data", "4.0 * of_data"),
    Mutation("objectives/weights.py", "loss_N * torch.exp(-u) + u", "loss_N * torch.exp(u) + u"),
    Mutation("objectives/weights.py", "loss_N * torch.exp(-u) + u", "loss_N * torch.exp(-u)"),
    Mutation("objectives/weights.py", "loss_N.detach() + (trained - trained.detach())", "trained"),
    Mutation("objectives/weights.py", "math.pi * t_N[:, None]", "2.0 * math.pi * t_N[:, None]"),
    Mutation("objectives/ddpm.py", "2 if config.variance == ", "1 if config.variance == "),
    Mutation("objectives/ddpm.py", "self.process.time(place.long()", "self.process.time((place.long() + 1)"),
    Mutation("objectives/ddpm.py", "self.process.levels * self._bound", "self._bound"),
    Mutation("objectives/ddpm.py", "learn_mean=False", "learn_mean=True"),
    Mutation("objectives/ddpm.py", "learn_mean=True", "learn_mean=False"),
    Mutation("objectives/ddpm.py", "error + self.vlb_weight *", "error +"),
    Mutation("objectives/ddpm.py", "learn_mean, self.data_levels)", "learn_mean)"),
    Mutation("objectives/bound.py", "half = 1.0 / (data_levels - 1)", "half = 1.0 / data_levels"),
    Mutation("objectives/bound.py", "0.5 * (torch.expm1(ratio) - ratio + (", "0.5 * (torch.expm1(ratio) + ratio + ("),
    Mutation("objectives/bound.py", "0.5 * (torch.expm1", "(torch.expm1"),
    Mutation("objectives/bound.py", "(exact - mean).square() / log_variance.exp()", "(exact - mean).square()"),
    Mutation("objectives/bound.py", "ratio = small - log_variance", "ratio = log_variance - small"),
    Mutation("objectives/bound.py", "data.expand(level == 0)", "data.expand(level < 0)"),
    Mutation("objectives/bound.py", "/ math.log(2.0)", ""),
    Mutation("objectives/bound.py", "share * large + (1.0 - share) * small", "share * small + (1.0 - share) * large"),
    Mutation("objectives/bound.py", "torch.exp(-0.5 * log_variance)", "torch.exp(-log_variance)"),
    Mutation("objectives/bound.py", "x < -edge, up_to", "x < -edge, 1.0 - up_to"),
    Mutation("objectives/bound.py", "(x + 0.044715 * x.pow(3))", "(x - 0.044715 * x.pow(3))"),
    Mutation("objectives/bound.py", "level.clamp(min=1)", "level.clamp(min=2)"),
    Mutation("objectives/bounds.py", "if level:", "if not level:"),
    Mutation("objectives/bounds.py", "- 2.0 * math.log(sigma)", "- math.log(sigma)"),
    Mutation("objectives/bounds.py", "data.sample_mean(nats) / math.log(2.0)", "data.sample_mean(nats)"),
    Mutation("objectives/bounds.py", "False, self.data_levels", "False"),
    Mutation("objectives/bounds.py", 'key.fold("bound", level)', 'key.fold("bound")'),
    Mutation("objectives/bounds.py", "term.double() / self.passes", "term.double()"),
    Mutation("objectives/bounds.py", "replace(batch.conditions, rates={})", "batch.conditions"),
    Mutation("objectives/bounds.py", "key.numbers * self.passes + number", "key.numbers + number"),
    Mutation("objectives/vdm.py", "0.5 * (variance + (alpha", "0.5 * (variance - (alpha"),
    Mutation("objectives/vdm.py", "- 1.0 - variance.log()", "- 1.0 + variance.log()"),
    Mutation("objectives/vdm.py", "0.5 * batch.tokens.sample_mean", "batch.tokens.sample_mean"),
    Mutation("objectives/vdm.py", "error / math.log(2.0)", "error"),
    Mutation("objectives/vdm.py", "self.process.sigma(first) / self.process.alpha(first)", "self.process.sigma(first)"),
    Mutation("objectives/vdm.py", "self.process.gamma_derivative(t).detach() * error", "error"),
    Mutation("objectives/vdm.py", 'known["latent"] + known["reconstruction"]', 'known["latent"]'),
    Mutation("objectives/vdm.py", "surrogate - surrogate.detach()", "surrogate"),
    Mutation(
        "objectives/vdm.py", "rate * process.gamma_derivative(t) - bend", "rate * process.gamma_derivative(t) + bend"
    ),
    Mutation("objectives/vdm.py", "(h / (ends[1] - ends[0])).square()", "h / (ends[1] - ends[0])"),
    Mutation("objectives/vdm.py", "return total - logit(own)", "return logit(own) - total"),
    Mutation("objectives/vdm.py", "step = 2.0 / (levels - 1)", "step = 2.0 / levels"),
    Mutation("objectives/vdm.py", "each.requires_grad_(False)", "pass"),
    Mutation("objectives/vdm.py", "return (high - low) * self", "return self"),
]
