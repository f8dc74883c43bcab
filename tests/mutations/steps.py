"""Samplers of higher order and with noise, made wrong."""

from __future__ import annotations

from tests.mutations.mutation import Mutation

STEPS = [
    Mutation("samplers/midpoint.py", "0.5 * step * here.velocity", "step * here.velocity"),
    Mutation("samplers/midpoint.py", "0.5 * (t + t_next)", "t"),
    Mutation("samplers/midpoint.py", "step * half_way.velocity", "step * here.velocity"),
    Mutation("samplers/midpoint.py", "here.passes + half_way.passes", "half_way.passes"),
    Mutation("samplers/runge_kutta.py", "(1 / 6, 1 / 3, 1 / 3, 1 / 6)", "(1 / 6, 1 / 6, 1 / 3, 1 / 3)"),
    Mutation("samplers/runge_kutta.py", "(0, 0, 1))", "(0, 1, 0))"),
    Mutation("samplers/runge_kutta.py", "(1, -1, 1)", "(1, 1, -1)"),
    Mutation("samplers/runge_kutta.py", "(1 / 8, 3 / 8, 3 / 8, 1 / 8)", "(3 / 8, 1 / 8, 1 / 8, 3 / 8)"),
    Mutation("samplers/runge_kutta.py", "t + node * (t_next - t)", "t"),
    Mutation("samplers/runge_kutta.py", "passes + here.passes", "here.passes"),
    Mutation("samplers/dopri5.py", "-2187 / 6784", "2187 / 6784"),
    Mutation("samplers/dopri5.py", "(3 / 40, 9 / 40)", "(9 / 40, 3 / 40)"),
    Mutation("samplers/dopri5.py", "-5103 / 18656", "-5103 / 18566"),
    Mutation("samplers/dopri5.py", "187 / 2100, 1 / 40", "1 / 40, 187 / 2100"),
    Mutation("samplers/dopri5.py", "good = size <= 1.0", "good = size <= 1000.0"),
    Mutation("samplers/dopri5.py", "0.9 * size ** (-0.2)", "0.9 * size**0.2"),
    Mutation("samplers/dopri5.py", "last = walk.sizes >= left.abs()", "last = walk.sizes < left.abs()"),
    Mutation(
        "samplers/dopri5.py", "torch.where(taken, found[-1], walk.slope)", "torch.where(taken, found[0], walk.slope)"
    ),
    Mutation(
        "samplers/dopri5.py",
        "x.sample_mean(values.double().square()).sqrt()",
        "values.double().square().mean().sqrt().expand(x.samples)",
    ),
    Mutation("samplers/dopri5.py", "torch.where(good, t, walk.t)", "t"),
    Mutation("samplers/dopri5.py", "walk.passes + cost", "walk.passes + 1"),
    Mutation("samplers/dopri5.py", "state.passes + here.passes + there.passes", "state.passes + here.passes"),
    Mutation(
        "samplers/multistep.py",
        "(log_ratio(process, t) - log_ratio(process, t_next))",
        "(log_ratio(process, t_next) - log_ratio(process, t))",
    ),
    Mutation("samplers/multistep.py", "sigma / process.sigma(t).item()", "process.sigma(t).item() / sigma"),
    Mutation("samplers/multistep.py", "process.alpha(t_next).item()", "process.alpha(t).item()"),
    Mutation("samplers/dpmpp_2m.py", "0.5 * stride.length / last.length", "0.5 * last.length / stride.length"),
    Mutation("samplers/dpmpp_2m.py", "x0 + 0.5 *", "x0 - 0.5 *"),
    Mutation("samplers/dpmpp_2m.py", "x0 + 0.5 *", "x0 +"),
    Mutation("samplers/dpmpp_2m.py", "math.expm1(-stride.length)", "math.expm1(stride.length)"),
    Mutation("samplers/dpmpp_2m.py", "Seen(x0, stride.length)", "Seen(expected, stride.length)"),
    Mutation("samplers/dpmpp_2m_sde.py", "math.expm1(-2.0 * stride.length)", "math.expm1(-stride.length)"),
    Mutation("samplers/dpmpp_2m_sde.py", "stride.kept * math.exp(-stride.length)", "stride.kept"),
    Mutation("samplers/dpmpp_2m_sde.py", "forgotten**0.5", "forgotten"),
    Mutation("samplers/dpmpp_2m_sde.py", "x + stride.sigma * forgotten", "x + 0.9 * stride.sigma * forgotten"),
    Mutation("samplers/dpmpp_2m_sde.py", "0.5 * stride.length / last.length", "stride.length / last.length"),
    Mutation("samplers/dpmpp_2m_sde.py", "(x0 - last.x0)", "(last.x0 - x0)"),
    Mutation("samplers/dpmpp_3m.py", "2.0 * change", "change"),
    Mutation("samplers/dpmpp_3m.py", "rise + near * change", "rise + far * change"),
    Mutation("samplers/dpmpp_3m.py", "(near + far)", "(near - far)"),
    Mutation("samplers/dpmpp_3m.py", "0.5 - slope / length", "1.0 - slope / length"),
    Mutation("samplers/dpmpp_3m.py", "1.0 - level / length", "0.5 - level / length"),
    Mutation(
        "samplers/dpmpp_3m.py", "stride.alpha * slope * (there.x0 - x0)", "stride.alpha * slope * (x0 - there.x0)"
    ),
    Mutation("samplers/dpmpp_3m.py", "seen[1].length / length", "seen[0].length / length"),
    Mutation("samplers/dpmpp_3m.py", "_Memory(seen, there)", "_Memory(seen, here)"),
    Mutation("samplers/diffusion.py", "here.velocity + 0.5 * rate", "here.velocity - 0.5 * rate"),
    Mutation("samplers/diffusion.py", "0.5 * rate / sigma", "rate / sigma"),
    Mutation("samplers/diffusion.py", "0.5 * rate / sigma", "0.5 * rate"),
    Mutation("samplers/diffusion.py", "return 2.0 * sigma *", "return sigma *"),
    Mutation(
        "samplers/diffusion.py", "lambda process, t: scale * rate(process, t)", "lambda process, t: rate(process, t)"
    ),
    Mutation(
        "samplers/diffusion.py",
        '"sigma_squared": lambda process, t: process.sigma(t).square()',
        '"sigma_squared": lambda process, t: process.sigma(t)',
    ),
    Mutation("samplers/diffusion.py", '"linear": lambda process, t: t', '"linear": lambda process, t: 1.0 - t'),
    Mutation("samplers/diffusion.py", "0.5 - 0.5 * torch.cos", "0.5 + 0.5 * torch.cos"),
    Mutation("samplers/euler_maruyama.py", "(-step * rate) ** 0.5", "0.9 * (-step * rate) ** 0.5"),
    Mutation("samplers/euler_maruyama.py", "(-step * rate) ** 0.5", "(-step) ** 0.5 * rate"),
    Mutation("samplers/euler_maruyama.py", "+ step * drift", "- step * drift"),
    Mutation("samplers/euler_maruyama.py", "self.rate(process, t).item()", "self.rate(process, t_next).item()"),
    Mutation("samplers/euler_maruyama.py", "if process.sigma(t_next) == 0:", "if False:"),
    Mutation("samplers/stochastic_heun.py", "(-0.5 * step * sum(rates)) ** 0.5", "(-step * rates[0]) ** 0.5"),
    Mutation("samplers/stochastic_heun.py", "(-0.5 * step * sum(rates)) ** 0.5", "(-step * sum(rates)) ** 0.5"),
    Mutation("samplers/stochastic_heun.py", "noisy + 0.5 * step * (first + second)", "noisy + step * first"),
    Mutation(
        "samplers/stochastic_heun.py", "with_values(noisy + step * first)", "with_values(state.x.values + step * first)"
    ),
    Mutation("samplers/stochastic_heun.py", "drift(there, rates[1]", "drift(there, rates[0]"),
    Mutation("samplers/stochastic_heun.py", "state.passes + there.passes", "state.passes"),
    Mutation("samplers/stability.py", "0.5 * w / sigma.square()", "w / sigma.square()"),
    Mutation("samplers/stability.py", "1.0 - 0.5 * h * (a + b - h * a * b)", "1.0 - 0.5 * h * (a + b)"),
    Mutation("samplers/stability.py", "(1.0 - 0.5 * h * b).square()", "(1.0 - 0.5 * h * b)"),
    Mutation("samplers/stability.py", "variance + h * added", "variance + 0.9 * h * added"),
    Mutation("samplers/stability.py", "1.0 - h * a, w[here]", "1.0 - h * b, w[there]"),
    Mutation("samplers/stability.py", "variance = sigma[0].square()", "variance = sigma[0]"),
    Mutation("samplers/stability.py", "found <= _LARGEST_DEVIATION", "found <= 100.0 * _LARGEST_DEVIATION"),
    Mutation("samplers/dopri5.py", "of_rows(predictor, index)", "predictor"),
]
