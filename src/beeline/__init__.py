"""Beeline: diffusion transformers on any kind of data.

    run = beeline.train("digits")                                  a run folder
    model = beeline.load(run)                                      ready to sample
    images = model.sample(16, condition={"label": 3}, seed=0)      uint8 (16, 8, 8, 1)

Everything is loaded when it is first used, so that importing takes no time.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from beeline.cli.autoencode import autoencode
    from beeline.cli.check import check
    from beeline.cli.compare import compare
    from beeline.cli.convert import convert
    from beeline.cli.edit import edit
    from beeline.cli.encode import encode
    from beeline.cli.evaluate import evaluate
    from beeline.cli.inspect import inspect
    from beeline.cli.profile import profile
    from beeline.cli.sample import sample
    from beeline.cli.train import train
    from beeline.conditioning.coarse_map import CoarseMap
    from beeline.conditioning.label import ClassLabel
    from beeline.conditioning.map import AlignedMap
    from beeline.conditioning.parameters import Parameters
    from beeline.conditioning.perturbations import Perturbations
    from beeline.conditioning.points import Points
    from beeline.conditioning.vector import Vector
    from beeline.core.data import Example, Metric
    from beeline.core.errors import RunError, UserError
    from beeline.data.normalisers import Pixels, Standardise
    from beeline.data.pictures import curves, image_grid, scalar_image
    from beeline.data.splits import split_by_group
    from beeline.evaluate.arrays import evaluate_arrays
    from beeline.generate.ensembles import ensemble
    from beeline.generate.load import load
    from beeline.model import interop
    from beeline.tokenizers.grid import GridTokenizer
    from beeline.tokenizers.sets import SetTokenizer

_HOMES = {
    "AlignedMap": "conditioning.map",
    "ClassLabel": "conditioning.label",
    "CoarseMap": "conditioning.coarse_map",
    "Example": "core.data",
    "GridTokenizer": "tokenizers.grid",
    "Metric": "core.data",
    "Parameters": "conditioning.parameters",
    "Perturbations": "conditioning.perturbations",
    "Pixels": "data.normalisers",
    "Points": "conditioning.points",
    "RunError": "core.errors",
    "SetTokenizer": "tokenizers.sets",
    "Standardise": "data.normalisers",
    "UserError": "core.errors",
    "Vector": "conditioning.vector",
    "autoencode": "cli.autoencode",
    "check": "cli.check",
    "compare": "cli.compare",
    "convert": "cli.convert",
    "curves": "data.pictures",
    "edit": "cli.edit",
    "encode": "cli.encode",
    "ensemble": "generate.ensembles",
    "evaluate": "cli.evaluate",
    "evaluate_arrays": "evaluate.arrays",
    "image_grid": "data.pictures",
    "inspect": "cli.inspect",
    "load": "generate.load",
    "profile": "cli.profile",
    "sample": "cli.sample",
    "scalar_image": "data.pictures",
    "split_by_group": "data.splits",
    "train": "cli.train",
}

__all__ = [
    "AlignedMap",
    "ClassLabel",
    "CoarseMap",
    "Example",
    "GridTokenizer",
    "Metric",
    "Parameters",
    "Perturbations",
    "Pixels",
    "Points",
    "RunError",
    "SetTokenizer",
    "Standardise",
    "UserError",
    "Vector",
    "autoencode",
    "check",
    "compare",
    "convert",
    "curves",
    "edit",
    "encode",
    "ensemble",
    "evaluate",
    "evaluate_arrays",
    "image_grid",
    "inspect",
    "interop",
    "load",
    "profile",
    "sample",
    "scalar_image",
    "split_by_group",
    "train",
]


def __getattr__(name: str) -> Any:
    if name == "interop":
        return import_module("beeline.model.interop")
    if name not in _HOMES:
        raise AttributeError(f"module 'beeline' has no attribute '{name}'")
    value = getattr(import_module(f"beeline.{_HOMES[name]}"), name)
    return globals().setdefault(name, value)  # the import may have brought a room of that name, see _Package


def __dir__() -> list[str]:
    return sorted(__all__)


class _Room(ModuleType):
    """A room that has the name of a verb, and is one: ``beeline.train`` holds the loop and can be called."""

    @property
    def _verb(self) -> Any:
        name = self.__name__.rpartition(".")[2]
        return getattr(import_module(f"beeline.{_HOMES[name]}"), name)

    @property
    def __signature__(self) -> Any:
        from inspect import signature

        return signature(self._verb)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self._verb(*arguments, **options)


class _Package(ModuleType):
    """Lets ``beeline.train`` and ``beeline.evaluate`` stay verbs when the rooms of those names are imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _HOMES and isinstance(value, ModuleType):
            value.__class__ = _Room
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
