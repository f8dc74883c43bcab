"""The peer's guided sampling in bf16: as it is shipped, and as quick as its own means make it."""

from __future__ import annotations

import warnings
from typing import Any

import torch

from beeline.core.errors import UserError
from benchmarks.gpu.lines import Line
from benchmarks.gpu.speed import Effort, timed
from benchmarks.peers.nets import Net
from benchmarks.peers.theirs import walked
from benchmarks.peers.timing import Times

_LEVELS, _USUAL_STEPS = 1000, 250


def rival(net: Net, effort: Effort, quick: bool, scale: float = 4.0) -> Line:
    """Guided images of diffusers' network, weights and activations in bf16.

    Args:
        net: its sizes.
        effort: how long to look.
        quick: compiled, with DPM-Solver++ in as many steps as ours, timed from noise to the end; otherwise eager DDPM
            of 250 steps, told from its first.
        scale: of guidance.

    Raises:
        UserError: diffusers is not here.
    """
    try:
        from diffusers import DDPMScheduler, DiTTransformer2DModel, DPMSolverMultistepScheduler
        from diffusers.utils.logging import set_verbosity_error
    except ImportError:
        raise UserError("diffusers: not installed") from None
    set_verbosity_error()
    warnings.filterwarnings("ignore", module="diffusers")
    torch.manual_seed(0)
    network: Any = DiTTransformer2DModel(**net.peer_options()).to(effort.device, torch.bfloat16).eval()
    scheduler: Any = DDPMScheduler(_LEVELS, beta_schedule="linear", clip_sample=False)
    if quick:
        scheduler = DPMSolverMultistepScheduler.from_config(scheduler.config)
        network.forward = torch.compile(network.forward, dynamic=False)
    shape = (effort.images, net.channels, net.size, net.size)
    start = torch.randn(shape, device=effort.device, dtype=torch.bfloat16)
    labels = torch.arange(effort.images, device=effort.device) % net.classes
    steps = effort.steps if quick else _USUAL_STEPS
    timed_steps = steps if quick else effort.peer_timed

    def draw() -> None:
        scheduler.set_timesteps(steps, device=effort.device)
        walked(network, scheduler, start, labels, scale, timed_steps)

    times, memory = timed(draw, effort)
    if quick:
        how, note = "diffusers bf16 compiled, DPM-Solver++ 2M", f"{2 * steps} passes an image"
    else:
        times = Times(None, [each * steps / timed_steps for each in times.rounds])
        how, note = "diffusers bf16 eager, DDPM", f"{2 * steps} passes an image; told from {timed_steps} of the steps"
    return Line(net.name, f"guided images, {steps} steps", how, effort.images, times, memory=memory, note=note)
