"""The peer's side: diffusers in fp32, eager, as it is shipped, trained by its standard recipe; in bf16 by autocast.

Nothing of the library is imported here, so that what this side takes is its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import record_function
from torch.utils.flop_counter import FlopCounterMode

if TYPE_CHECKING:
    from benchmarks.peers.nets import Net

_LEVELS, _CLIP, _RATE, _DECAY = 1000, 1.0, 1e-4, 0.9999


class Theirs:
    """Noise prediction, clipping, AdamW and an exponential average, each by torch's or diffusers' own defaults.

    Args:
        net: its sizes.
        device: cpu or cuda.
        precision: fp32 as shipped, or bf16, as its training scripts compute in it: under autocast, weights in fp32.
    """

    def __init__(self, net: Net, device: str, precision: str = "fp32") -> None:
        from diffusers import DDPMScheduler, DiTTransformer2DModel
        from diffusers.training_utils import EMAModel

        torch.manual_seed(0)
        self.net, self.device = net, device
        self.precision = self.sampling_precision = precision
        self.network = DiTTransformer2DModel(**net.peer_options()).to(device)
        self.parameters = sum(each.numel() for each in self.network.parameters() if each.requires_grad)
        self.scheduler = DDPMScheduler(_LEVELS, beta_schedule="linear", clip_sample=False)
        self._optimiser = torch.optim.AdamW(self.network.parameters(), lr=_RATE)
        self._average = EMAModel(self.network.parameters(), decay=_DECAY)
        shape = (net.batch, net.channels, net.size, net.size)
        self._images = torch.randn(shape, device=device)
        self._labels = torch.arange(net.batch, device=device) % net.classes
        self._levels = torch.randint(0, _LEVELS, (net.batch,), device=device)

    def step(self) -> None:
        """A step on one batch that lies ready."""
        if not self.network.training:
            self.network.train()
        noise = torch.randn_like(self._images)
        levels = torch.randint(0, _LEVELS, (self.net.batch,), device=self.device)
        noisy = self.scheduler.add_noise(self._images, noise, levels)
        with self._autocast():
            predicted = self.network(noisy, levels, self._labels).sample
        functional.mse_loss(predicted.float(), noise).backward()
        # Ranges as our trainer marks them, for the profile of a step.
        with record_function("beeline: optimiser"):
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP)
            self._optimiser.step()
        with record_function("beeline: averages"):
            self._average.step(self.network.parameters())
        self._optimiser.zero_grad()

    @torch.no_grad()
    def forward(self) -> None:
        """A pass over the batch."""
        if self.network.training:
            self.network.eval()
        with self._autocast():
            self.network(self._images, self._levels, self._labels)

    def forward_flops(self) -> int:
        """Of such a pass, by torch's counter."""
        return counted(self.forward)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16")

    def sampling(self, images: int, steps: int, scale: float) -> Callable[[int], None]:
        """What walks the first steps of guided ancestral sampling in one batch, as ``DiTPipeline`` does.

        Args:
            images: how many.
            steps: of the whole walk.
            scale: of guidance.
        """
        shape = (images, self.net.channels, self.net.size, self.net.size)
        start = torch.randn(shape, device=self.device)
        labels = torch.arange(images, device=self.device) % self.net.classes
        self.scheduler.set_timesteps(steps, device=self.device)

        def walk(count: int) -> None:
            self.network.eval()
            walked(self.network, self.scheduler, start, labels, scale, count)

        return walk


@torch.no_grad()
def walked(network: Any, scheduler: Any, start: Tensor, labels: Tensor, scale: float, count: int) -> Tensor:
    """Images after the first steps of a scheduler, guided as ``DiTPipeline`` guides them.

    Args:
        network: ``DiTTransformer2DModel``, whose null label is its last.
        scheduler: with its steps set.
        start: (N, C, H, W) noise.
        labels: (N,) classes.
        scale: of guidance.
        count: of steps.
    """
    labels = torch.cat([labels, torch.full_like(labels, network.config.num_embeds_ada_norm)])
    x = torch.cat([start, start])
    for t in scheduler.timesteps[:count]:
        half = x[: len(start)]
        x = torch.cat([half, half])
        given, free = network(x, t[None].to(x.device).expand(len(x)), labels).sample.chunk(2)
        noise = free + scale * (given - free)
        x = scheduler.step(torch.cat([noise, noise]), t, x).prev_sample
    return x[: len(start)]


def counted(call: Callable[[], object]) -> int:
    """Floating-point operations of matrix products and attention in a call, forwards and backwards."""
    counter = FlopCounterMode(display=False)
    # The counter does not know the fused kernel of CPUs, but knows the products that it stands for.
    with sdpa_kernel(SDPBackend.MATH), counter:
        call()
    return counter.get_total_flops()
