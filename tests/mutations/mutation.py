"""What a mutation is, and which proofs own which file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "beeline"


def _files(room: str, *names: str) -> tuple[str, ...]:
    return tuple(f"tests/{room}/test_{name}.py" for name in names)


def _solver(keyword: str, *more: str) -> tuple[str, ...]:
    """What test_solvers.py, which goes through all of them, says of one; and other files about it."""
    return (*_files("samplers", *more, "solvers"), "-k", keyword)


STEPS = _files("samplers", "level_grids", "ancestral", "ddpm_records")
STOCHASTIC = _files("samplers", "stochastic")
MULTISTEP = _solver("dpmpp", "dpmpp")
GUIDANCE = _files("samplers", "guidance_batches", "guidance", "guidance_costs", "guided_flows")
PATHS = _files("process", "paths", "build", "family", "intervals")
LEVELS = _files("process", "ddpm")
VDM = _files("process", "vdm")
REGRESSION = _files("process", "regression")
FLOW = _files("objectives", "flow", "losses", "weights")
BOUND = _files("objectives", "ddpm")

OWNERS = {
    "samplers/euler.py": _solver("euler"),
    "samplers/heun.py": _solver("heun"),
    "samplers/one_pass.py": REGRESSION,
    "samplers/midpoint.py": _solver("midpoint"),
    "samplers/runge_kutta.py": _solver("rk"),
    "samplers/solve.py": _solver("not correlated and not truth"),
    "samplers/dopri5.py": _solver("dopri5 or choose", "dopri5", "guidance_costs"),
    "samplers/dpmpp_2m.py": MULTISTEP,
    "samplers/dpmpp_3m.py": MULTISTEP,
    "samplers/multistep.py": MULTISTEP,
    "samplers/dpmpp_2m_sde.py": _files("samplers", "stochastic", "dpmpp"),
    "samplers/diffusion.py": STOCHASTIC,
    "samplers/stability.py": _files("samplers", "stability"),
    "samplers/euler_maruyama.py": STOCHASTIC,
    "samplers/stochastic_heun.py": STOCHASTIC,
    "samplers/ddim.py": STEPS,
    "samplers/ddpm.py": STEPS,
    "samplers/grids.py": _solver("grid or nodes", "level_grids", "ratio_grids"),
    "samplers/guidance.py": GUIDANCE,
    "samplers/mixture.py": _files("samplers", "mixture"),
    "samplers/likelihood.py": _files("samplers", "likelihood"),
    "samplers/inversion.py": _files("samplers", "inversion"),
    "samplers/inpainting.py": _files("samplers", "inpainting"),
    "samplers/renoising.py": _files("samplers", "inpainting"),
    "samplers/interpolation.py": _files("samplers", "interpolation"),
    "process/path.py": PATHS,
    "process/linear.py": PATHS,
    "process/vp.py": PATHS,
    "process/vp_cosine.py": PATHS,
    "process/gvp.py": PATHS,
    "process/ve.py": PATHS,
    "process/sigmoid.py": PATHS,
    "process/regression.py": REGRESSION,
    "process/shifted.py": PATHS,
    "process/inverse.py": _files("process", "densities", "paths", "family"),
    "process/bridge.py": _files("process", "bridge"),
    "process/vdm.py": (*VDM, *PATHS),
    "process/coupling.py": _files("train", "coupling"),
    "process/ddpm.py": (*LEVELS, *_files("process", "paths")),
    "process/tables.py": LEVELS,
    "process/respacing.py": LEVELS,
    "process/posterior.py": (*LEVELS, *_files("samplers", "ancestral")),
    "process/densities.py": _files("process", "densities"),
    "process/sources.py": _files("process", "sources"),
    "objectives/flow.py": FLOW,
    "objectives/losses.py": FLOW,
    "objectives/weights.py": FLOW,
    "objectives/ddpm.py": BOUND,
    "objectives/bound.py": BOUND,
    "objectives/bounds.py": _files("objectives", "bounds"),
    "objectives/vdm.py": _files("objectives", "vdm"),
}


@dataclass(frozen=True)
class Mutation:
    """One place of one file, made wrong.

    Args:
        file: below ``src/beeline``.
        old: text that is there exactly once.
        new: what stands there instead.
    """

    file: str
    old: str
    new: str

    @property
    def owners(self) -> tuple[str, ...]:
        """The proofs that must fail, in the words that pytest takes."""
        return OWNERS[self.file]

    def is_stale(self) -> bool:
        """Whether the text is not there, or there more than once."""
        path = PACKAGE / self.file
        return not path.is_file() or path.read_text().count(self.old) != 1

    def apply(self, package: Path) -> None:
        """Change a copy of the package."""
        path = package / self.file
        path.write_text(path.read_text().replace(self.old, self.new))

    def __str__(self) -> str:
        old, new = (" ".join(text.split()) for text in (self.old, self.new))
        return f"{self.file}: {old} -> {new}"
