"""Paths, levels, times and sources, made wrong."""

from __future__ import annotations

from tests.mutations.mutation import Mutation

PROCESS = [
    Mutation("process/path.py", "(b * x_t.values - sigma * y)", "(b * x_t.values + sigma * y)"),
    Mutation("process/path.py", "(alpha * y - a * x_t.values)", "(y - a * x_t.values)"),
    Mutation("process/path.py", "return a * x0 + b * e", "return b * x0 + a * e"),
    Mutation("process/path.py", "alpha * x0.values + sigma * e", "alpha * x0.values + sigma.square() * e"),
    Mutation("process/path.py", "return a * x0.values + b * e", "return a * x0.values - b * e"),
    Mutation("process/path.py", "return zero, -1.0 / self.sigma(t)", "return zero, 1.0 / self.sigma(t)"),
    Mutation("process/path.py", "return -self.sigma(t), self.alpha(t)", "return self.sigma(t), self.alpha(t)"),
    Mutation("process/path.py", "-alpha * deviation / size", "alpha * deviation / size"),
    Mutation("process/path.py", "sigma / (deviation * size)", "sigma / size"),
    Mutation("process/path.py", "sigma.square() + (alpha * deviation).square()", "sigma.square() + alpha.square()"),
    Mutation("process/path.py", "sigma * source.sample(like, key)", "source.sample(like, key)"),
    Mutation("process/path.py", "1000.0 * t", "t"),
    Mutation("process/path.py", "return 1.0 - t if", "return t if"),
    Mutation("process/path.py", "LARGEST_FACTOR = 50.0", "LARGEST_FACTOR = 500.0"),
    Mutation("process/path.py", "key=len)", "key=lambda each: -len(each))"),
    Mutation("process/path.py", "            inside = middle", "            inside, outside = middle, middle"),
    Mutation("process/linear.py", "return 1.0 - t", "return 1.0 - t.square()"),
    Mutation("process/linear.py", "-torch.ones_like(t)", "torch.ones_like(t)"),
    Mutation("process/linear.py", "        return torch.ones_like(t)", "        return 0.5 * torch.ones_like(t)"),
    Mutation("process/regression.py", "time_input(torch.ones_like(t))", "time_input(t)"),
    Mutation(
        "process/regression.py",
        '''"""0."""
        return torch.zeros_like(t)

    def sigma(''',
        '''"""0."""
        return torch.ones_like(t)

    def sigma(''',
    ),
    Mutation(
        "process/regression.py",
        '''"""0."""
        return torch.zeros_like(t)

    def alpha_d''',
        '''"""0."""
        return torch.ones_like(t)

    def alpha_d''',
    ),
    Mutation("process/vp.py", "-0.25 * t * t", "-0.5 * t * t"),
    Mutation("process/vp.py", "- 0.5 * t * self.beta_min", "- t * self.beta_min"),
    Mutation("process/vp.py", "-torch.expm1(2.0 *", "-torch.expm1("),
    Mutation(
        "process/vp.py", "torch.sqrt(-torch.expm1(2.0 * self._log_alpha(t)))", "torch.sqrt(1 - self.alpha(t) ** 2)"
    ),
    Mutation("process/vp.py", "return -0.5 * beta * self", "return -beta * self"),
    Mutation("process/vp.py", "return -self.alpha(t) * self.alpha_d", "return self.alpha(t) * self.alpha_d"),
    Mutation("process/ddpm.py", "self.t_min = 1.0 / self.levels", "self.t_min = 0.0"),
    Mutation("process/ddpm.py", "torch.exp(0.5 * self._log_abar(t)[0])", "torch.exp(self._log_abar(t)[0])"),
    Mutation("process/ddpm.py", "(self._place(t) - 1.0)", "self._place(t)"),
    Mutation("process/ddpm.py", "return (level + 1)", "return level"),
    Mutation("process/ddpm.py", ".round().long() - 1)", ".round().long())"),
    Mutation("process/ddpm.py", "torch.where(near, place + (whole - place).detach(), place)", "place"),
    Mutation("process/ddpm.py", "3.0 * rise - 2.0 * first - second,", "3.0 * rise - first - 2.0 * second,"),
    Mutation("process/ddpm.py", "first + second - 2.0 * rise\n        value", "first + second - rise\n        value"),
    Mutation("process/ddpm.py", "(2.0 * square + 3.0 * u * cube)", "(2.0 * square + u * cube)"),
    Mutation("process/ddpm.py", "self.levels * (first + u", "(first + u"),
    Mutation("process/ddpm.py", "2.0 * secants[1:] * secants[:-1] / (secants[1:] + secants[:-1])", "secants[1:]"),
    Mutation("process/ddpm.py", "(-0.5 * slope * torch.exp(value)", "(0.5 * slope * torch.exp(value)"),
    Mutation("process/tables.py", "1.0 - _signal(n + 1, levels)", "1.0 - _signal(n, levels + 1)"),
    Mutation("process/tables.py", "LARGEST_COSINE_BETA = 0.999", "LARGEST_COSINE_BETA = 0.9999"),
    Mutation("process/tables.py", "* n / (count - 1)", "* n / count"),
    Mutation("process/tables.py", "beta_min / levels", "beta_min / 1000"),
    Mutation("process/tables.py", "[root**2 for root in", "[root for root in"),
    Mutation("process/respacing.py", "(size - 1) / (count - 1)", "size / count"),
    Mutation("process/respacing.py", "size = share + (place < left_over)", "size = share"),
    Mutation("process/respacing.py", "return list(range(0, levels, stride))", "return list(range(1, levels, stride))"),
    Mutation("process/posterior.py", "total - ratio.square() * variance", "total - ratio * variance"),
    Mutation("process/posterior.py", "Posterior(alpha * step / total", "Posterior(step / total"),
    Mutation("process/posterior.py", "ratio * variance / total, step", "variance / total, step"),
    Mutation("process/posterior.py", "step * variance / total, step)", "step, step)"),
    Mutation("process/posterior.py", "process.alpha(t) / alpha", "alpha / process.alpha(t)"),
    Mutation("process/densities.py", "shift * t / (1.0 + (shift", "t / (1.0 + (shift"),
    Mutation("process/densities.py", "(shift - 1.0) * t", "(1.0 - shift) * t"),
    Mutation("process/densities.py", ".uniform()[:, 0] >= share", ".uniform()[:, 0] < share"),
    Mutation("process/densities.py", "torch.sigmoid(mean + sd * normal)", "torch.sigmoid(sd * normal - mean)"),
    Mutation("process/densities.py", "(low + (high - low) * shift", "(high * shift"),
    Mutation("process/densities.py", 'key.fold("share")', 'key.fold("uniform")'),
    Mutation("process/densities.py", "self.config.mean + self.config.sd", "self.config.sd - self.config.mean"),
    Mutation("process/densities.py", "9E3779B97F4A7C15", "8000000000000000"),
    Mutation("process/densities.py", "u / max(share, 1e-9), u >= share", "u, u >= share"),
    Mutation("process/densities.py", "(u - share) / max(1.0 - share, 1e-9)", "u"),
    Mutation("process/densities.py", "start + turned", "turned"),
    Mutation(
        "process/inverse.py",
        "process.sigma(t).log() - process.alpha(t).log()",
        "process.alpha(t).log() - process.sigma(t).log()",
    ),
    Mutation("process/inverse.py", "_HALVINGS = 64", "_HALVINGS = 12"),
    Mutation(
        "process/inverse.py",
        "torch.where(below, middle, low), torch.where(below, high, middle)",
        "torch.where(below, low, middle), torch.where(below, middle, high)",
    ),
    Mutation("process/inverse.py", "result = torch.where(high == ends[1], ends[1], result)", "pass"),
    Mutation("process/sources.py", "noise - like.expand(like.channel_means(noise))", "noise"),
    Mutation("process/sources.py", 'key.fold("member").uniform()', 'key.fold("member").uniform().square()'),
    Mutation("process/sources.py", "[:, 0] * count", "[:, 0] * (count - 1)"),
]
