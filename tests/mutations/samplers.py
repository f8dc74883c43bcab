"""Samplers, grids and guidance, made wrong."""

from __future__ import annotations

from tests.mutations.mutation import Mutation

SAMPLERS = [
    Mutation("samplers/euler.py", "+ (t_next - t).item()", "- (t_next - t).item()"),
    Mutation("samplers/euler.py", "state.passes + here.passes", "state.passes + 1 + here.passes"),
    Mutation("samplers/euler.py", "here.velocity)", "here.e)"),
    Mutation("samplers/heun.py", "+ step * velocity", "+ 0.5 * step * velocity"),
    Mutation("samplers/heun.py", "0.5 * step * (velocity + there.velocity)", "step * there.velocity"),
    Mutation("samplers/heun.py", "t_next, predictor", "t, predictor"),
    Mutation("samplers/heun.py", "+ there.passes", ""),
    Mutation("samplers/one_pass.py", "with_values(here.x0)", "with_values(state.x.values + here.x0 / 2)"),
    Mutation("samplers/one_pass.py", "state.passes + here.passes", "state.passes"),
    Mutation("samplers/solve.py", "if t == 0:", "if True:"),
    Mutation("samplers/solve.py", "with_values(prediction.x0)", "with_values(prediction.x_t.values)"),
    Mutation("samplers/solve.py", "state.passes + prediction.passes", "state.passes"),
    Mutation("samplers/solve.py", "while state.index < len(times) - 1", "while state.index < len(times) - 2"),
    Mutation("samplers/solve.py", 'key.fold("step", taken)', 'key.fold("step", 0)'),
    Mutation("samplers/ddim.py", "sigma**2 - deviation**2", "sigma**2"),
    Mutation("samplers/ddim.py", "alpha * x0 +", "alpha * here.x0 +"),
    Mutation(
        "samplers/ddim.py", "            e = (state.x.values - process", "            _ = (state.x.values - process"
    ),
    Mutation("samplers/ddim.py", "posterior(process, t, t_next)", "posterior(process, t_next, t)"),
    Mutation("samplers/ddim.py", ".variance.sqrt()", ".step.sqrt()"),
    Mutation("samplers/ddim.py", "x + deviation * self.source", "x + 0.9 * deviation * self.source"),
    Mutation("samplers/ddim.py", "process.sigma(t_next).item()", "process.sigma(t).item()"),
    Mutation("samplers/ddpm.py", "factors.data.item() * clipped", "clipped"),
    Mutation("samplers/ddpm.py", "clipped(here.x0, self.clip)", "here.x0"),
    Mutation(
        "samplers/ddpm.py", 'factors.step if self.variance == "large"', 'factors.step if self.variance == "small"'
    ),
    Mutation("samplers/ddpm.py", "chosen.sqrt().item()", "chosen.item()"),
    Mutation("samplers/ddpm.py", "0.5 * (here.variance + 1.0)", "here.variance + 1.0"),
    Mutation("samplers/ddpm.py", "share * large + (1.0 - share) * small", "share * small + (1.0 - share) * large"),
    Mutation("samplers/ddpm.py", "torch.exp(0.5 * (share", "torch.exp((share"),
    Mutation(
        "samplers/ddpm.py", "self._deviation(factors, here) * self", "0.95 * self._deviation(factors, here) * self"
    ),
    Mutation("samplers/grids.py", "torch.linspace(1.0, 0.0, steps + 1", "torch.linspace(1.0, 0.0, steps"),
    Mutation("samplers/grids.py", "torch.linspace(1.0, 0.0", "torch.linspace(0.0, 1.0"),
    Mutation("samplers/grids.py", "times[0], times[-1] = high, low", "times[0], times[-1] = high, 0.0"),
    Mutation("samplers/grids.py", "(levels // steps)", "((levels - 1) // (steps - 1))"),
    Mutation("samplers/grids.py", "level + 1 for level", "level for level"),
    Mutation("samplers/grids.py", "if steps > 1 else [levels - 1]", "if steps > 1 else [0]"),
    Mutation("samplers/grids.py", "times[1:] < times[:-1]", "times[1:] <= times[:-1]"),
    Mutation("samplers/grids.py", "times[0].item() != high or times", "times"),
    Mutation("samplers/grids.py", "unit = shift_time(unit, shift)", "unit = shift_time(unit, 1.0)"),
    Mutation("samplers/grids.py", "0.5 * (1.0 - torch.cos(math.pi * u))", "torch.sin(0.5 * math.pi * u)"),
    Mutation("samplers/grids.py", "lambda u: u.square()", "lambda u: u.sqrt()"),
    Mutation("samplers/grids.py", 'return "respaced" if sampler == "ddpm"', 'return "respaced" if sampler == "ddim"'),
    Mutation("samplers/grids.py", "torch.exp(log / 7.0)", "torch.exp(log / 5.0)"),
    Mutation("samplers/grids.py", "first + (last - first) * u", "last + (first - last) * u"),
    Mutation("samplers/grids.py", "_RATIOS = (0.002, 80.0)", "_RATIOS = (0.02, 80.0)"),
    Mutation("samplers/grids.py", "return (times - low) / (high - low)", "return times - low"),
    Mutation("samplers/mixture.py", "(alpha**2)[..., None] * self", "alpha[..., None] * self"),
    Mutation("samplers/mixture.py", "self.means + alpha * torch", "self.means + torch"),
    Mutation("samplers/mixture.py", "share * sigma * solved", "share * solved"),
    Mutation("samplers/mixture.py", "quadratic + torch.logdet(spread)", "quadratic"),
    Mutation("samplers/mixture.py", "chosen | conditions", "chosen & conditions"),
    Mutation("samplers/mixture.py", "log_weights - 0.5 *", "-0.5 *"),
]
