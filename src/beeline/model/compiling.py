"""Blocks of a network as machine code made for the shapes at hand (torch.compile).

All blocks are the same function of other weights, so that one is compiled for all of them; the first pass of each shape
waits for it. torch keeps what it has compiled in a folder of its own, so that the next process waits less. The numbers
are those of the plain operations within rounding.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from beeline.backbone.dit import run_block
from beeline.core.errors import UserError
from beeline.model.network import Network

_TORCHS_OWN = "The .grad attribute of a Tensor that is not a leaf"
_SHAPES = 64  # shapes that are compiled before torch gives up and takes plain operations


def check_compiler(device: str) -> None:
    """Refuse to compile where nothing does, before any long work.

    Args:
        device: ``cpu`` or ``cuda``.

    Raises:
        UserError: saying what is missing.
    """
    name = os.environ.get("CXX", "g++")
    if device == "cpu" and shutil.which(name) is None:
        raise UserError(f"compile: needs a C++ compiler, and there is no {name} here; install one, or leave it out")
    if device == "cuda" and importlib.util.find_spec("triton") is None:
        raise UserError("compile: needs triton on a GPU, which is not installed; pip install triton, or leave it out")


def check_compilable(network: Network) -> None:
    """Refuse to compile what cannot be, before any long work.

    Args:
        network: where it will run.

    Raises:
        UserError: it is no transformer, or nothing compiles here.
    """
    check_compiler(next(network.dit.parameters()).device.type)


@contextmanager
def compiled(network: Network, wanted: bool = True) -> Iterator[None]:
    """Let a network run compiled blocks for a while.

    Args:
        network: a transformer.
        wanted: whether it should.

    Raises:
        UserError: it is no transformer, or nothing compiles here.
    """
    if not wanted:
        yield
        return
    check_compilable(network)
    dit = network.dit
    before, dit.run_block = dit.run_block, _compiled()
    try:
        with torch._dynamo.config.patch(recompile_limit=_SHAPES), warnings.catch_warnings():
            warnings.filterwarnings("ignore", _TORCHS_OWN, UserWarning)
            yield
    finally:
        dit.run_block = before


@functools.cache
def _compiled() -> Callable[..., Any]:
    made: Callable[..., Any] = torch.compile(run_block, dynamic=False)
    return made
