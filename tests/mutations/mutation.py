"""What a mutation is, and which proofs own which file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "beeline"

SOLVERS = ("tests/samplers/test_solvers.py",)
STEPS = (
    "tests/samplers/test_level_grids.py",
    "tests/samplers/test_ancestral.py",
    "tests/samplers/test_ddpm_records.py",
)
PATHS = ("tests/process/test_paths.py", "tests/process/test_build.py")
LEVELS = ("tests/process/test_ddpm.py",)
FLOW = ("tests/objectives/test_flow.py",)
BOUND = ("tests/objectives/test_ddpm.py",)

OWNERS = {
    "samplers/euler.py": SOLVERS,
    "samplers/heun.py": SOLVERS,
    "samplers/solve.py": SOLVERS,
    "samplers/ddim.py": STEPS,
    "samplers/ddpm.py": STEPS,
    "samplers/grids.py": ("tests/samplers/test_level_grids.py", *SOLVERS),
    "samplers/guidance.py": ("tests/samplers/test_guidance.py",),
    "samplers/mixture.py": ("tests/samplers/test_mixture.py",),
    "process/path.py": PATHS,
    "process/linear.py": PATHS,
    "process/vp.py": PATHS,
    "process/ddpm.py": LEVELS,
    "process/tables.py": LEVELS,
    "process/respacing.py": LEVELS,
    "process/posterior.py": (*LEVELS, "tests/samplers/test_ancestral.py"),
    "process/densities.py": ("tests/process/test_densities.py",),
    "process/sources.py": ("tests/process/test_sources.py",),
    "objectives/flow.py": FLOW,
    "objectives/weights.py": FLOW,
    "objectives/ddpm.py": BOUND,
    "objectives/bound.py": BOUND,
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
        """Files of the proofs that must fail."""
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
