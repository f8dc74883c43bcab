"""The peer's side: diffusers in fp32, eager, as it is shipped, trained by its standard recipe.

Nothing of the library is imported here, so that what this side takes is its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

if TYPE_CHECKING:
    from benchmarks.peers.nets import Net

_LEVELS, _CLIP, _RATE, _DECAY = 1000, 1.0, 1e-4, 0.9999


class Theirs:
    """Noise prediction, clipping, AdamW and an exponential average, each by torch's or diffusers' own defaults.

    Args:
        net: its sizes.
        device: cpu or cuda.
    """

    precision = sampling_precision = "fp32"

    def __init__(self, net: Net, device: str) -> None:
        from diffusers import DDPMScheduler, DiTTransformer2DModel
        from diffusers.training_utils import EMAModel

        torch.manual_seed(0)
        self.net, self.device = net, device
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
        predicted = self.network(noisy, levels, self._labels).sample
        functional.mse_loss(predicted, noise).backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP)
        self._optimiser.step()
        self._average.step(self.network.parameters())
        self._optimiser.zero_grad()

    @torch.no_grad()
    def forward(self) -> None:
        """A pass over the batch."""
        if self.network.training:
            self.network.eval()
        self.network(self._images, self._levels, self._labels)

    def forward_flops(self) -> int:
        """Of such a pass, by torch's counter."""
        return counted(self.forward)

    def sampling(self, images: int, steps: int, scale: float) -> Callable[[int], None]:
        """What walks the first steps of guided ancestral sampling in one batch, as ``DiTPipeline`` does.

        Args:
            images: how many.
            steps: of the whole walk.
            scale: of guidance.
        """
        net, null = self.net, self.net.classes
        self.scheduler.set_timesteps(steps, device=self.device)
        start = torch.randn(images, net.channels, net.size, net.size, device=self.device)
        labels = torch.arange(images, device=self.device) % net.classes
        labels = torch.cat([labels, torch.full_like(labels, null)])

        @torch.no_grad()
        def walk(count: int) -> None:
            self.network.eval()
            x = torch.cat([start, start])
            for t in self.scheduler.timesteps[:count]:
                half = x[: len(x) // 2]
                x = torch.cat([half, half])
                predicted = self.network(x, t[None].to(self.device).expand(len(x)), labels).sample
                given, free = predicted.chunk(2)
                noise = free + scale * (given - free)
                x = self.scheduler.step(torch.cat([noise, noise]), t, x).prev_sample

        return walk


def counted(call: Callable[[], object]) -> int:
    """Floating-point operations of matrix products and attention in a call, forwards and backwards."""
    counter = FlopCounterMode(display=False)
    # The counter does not know the fused kernel of CPUs, but knows the products that it stands for.
    with sdpa_kernel(SDPBackend.MATH), counter:
        call()
    return counter.get_total_flops()
