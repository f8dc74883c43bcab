"""Image autoencoders (AutoencoderKL) as diffusers saves them, opened without executing anything in their files.

    pixels x in [-1, 1] --encode--> mean m, deviation s --> latent z = m + s n, n standard normal
    latent z --decode--> x, and (x / 2 + 1/2) clipped to [0, 1] times 255, rounded, as diffusers makes its pictures

Latents here are raw: the factor by which models see them (``scale``, 0.18215 for Stable Diffusion's) is not in them.
diffusers is imported when an autoencoder is opened, and never asked to fetch anything.
Shapes: N images, (H, W) pixels, (h, w) = (H, W) / factor, C channels of a latent.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from beeline.core.errors import RunError, UserError
from beeline.core.files import read_json, sha256
from beeline.data.checkpoints.reading import read_foreign

Array = np.ndarray[Any, Any]
_CLASS = "AutoencoderKL"
_WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
_SCALE = 0.18215
_PIXELS_A_BATCH = 2**18
# What files written before diffusers 0.16 call the projections of an attention layer.
_OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
_OLD_NAME = re.compile(r"(attentions\.\d+\.)(query|key|value|proj_attn)(\.(?:weight|bias))$")


@dataclass(frozen=True)
class AutoencoderFiles:
    """An autoencoder where it lies, and what its config says of it.

    Args:
        folder: that holds config.json.
        weights: its weights file.
        config: contents of config.json.
        pixel_channels: of an image.
        channels: of a latent, C.
        factor: pixels along each side of a latent's cell.
        scale: by which models see latents multiplied.
        shift: that is taken off before, one for each channel; empty for none.
    """

    folder: Path
    weights: Path
    config: Mapping[str, Any]
    pixel_channels: int
    channels: int
    factor: int
    scale: float
    shift: tuple[float, ...] = ()

    @cached_property
    def sha256(self) -> str:
        """Hash of the weights file."""
        return sha256(self.weights)


def find_autoencoder(path: Path) -> AutoencoderFiles:
    """The autoencoder in a folder, or in the ``vae`` folder of a whole diffusers pipeline.

    Raises:
        UserError: there is none, or none of a kind that is known.
    """
    path = path.expanduser().absolute()
    if not path.is_dir():
        raise UserError(f"{path}: no such folder; name a folder with an autoencoder that diffusers saved")
    folder = path if (path / "config.json").is_file() else path / "vae"
    if not (folder / "config.json").is_file():
        raise UserError(
            f"{path}: is no autoencoder that diffusers saved; needs config.json and {_WEIGHTS[0]}, there or in vae/"
        )
    config = read_json(folder / "config.json")
    if not isinstance(config, dict) or config.get("_class_name", _CLASS) != _CLASS:
        named = config.get("_class_name") if isinstance(config, dict) else type(config).__name__
        raise UserError(f"{folder / 'config.json'}: describes a {named}; only an {_CLASS} can be read")
    weights = next((folder / name for name in _WEIGHTS if (folder / name).is_file()), None)
    if weights is None:
        raise UserError(f"{folder}: its weights are missing; needs {' or '.join(_WEIGHTS)}")
    return _described(folder, weights, config)


def _described(folder: Path, weights: Path, config: Mapping[str, Any]) -> AutoencoderFiles:
    try:
        channels = int(config.get("latent_channels", 4))
        shift = config.get("shift_factor")
        files = AutoencoderFiles(
            folder,
            weights,
            config,
            pixel_channels=int(config.get("in_channels", 3)),
            channels=channels,
            factor=2 ** (len(config.get("block_out_channels", (64,))) - 1),
            scale=float(config.get("scaling_factor", _SCALE)),
            shift=() if shift is None else (float(shift),) * channels,
        )
    except (TypeError, ValueError) as error:
        raise UserError(f"{folder / 'config.json'}: damaged ({error})") from None
    if files.pixel_channels not in (1, 3, 4) or files.channels < 1 or not files.scale > 0:
        raise UserError(f"{folder / 'config.json'}: in_channels, latent_channels or scaling_factor cannot be used")
    for name in ("latents_mean", "latents_std"):
        if config.get(name) is not None:
            raise UserError(f"{folder / 'config.json'}: {name} for each channel is not supported")
    return files


class Autoencoder:
    """An open autoencoder, in float32.

    Args:
        files: where it lies.
        device: ``cpu`` or ``cuda``.

    Raises:
        UserError: diffusers is missing, or the files are damaged or do not belong together.
    """

    def __init__(self, files: AutoencoderFiles, device: str = "cpu") -> None:
        self.files = files
        self.device = device
        self._network: Any = _build(files).to(device)

    def encode(self, images: Array, noise: Tensor) -> Array:
        """Latents drawn from the posterior, z = m + s n.

        Args:
            images: (N, H, W, channels) uint8, both sides multiples of the factor.
            noise: (N, C, h, w) standard normal n.

        Returns:
            (N, h, w, C) float32, raw.
        """
        pixels = torch.from_numpy(np.ascontiguousarray(images)).to(self.device).permute(0, 3, 1, 2)
        with _exactly(self.device):
            posterior = self._network.encode(pixels.float() / 127.5 - 1).latent_dist
            latents = posterior.mean + posterior.std * noise.to(self.device, torch.float32)
        return np.ascontiguousarray(latents.permute(0, 2, 3, 1).cpu().numpy())

    def decode(self, latents: Array) -> Array:
        """Images of raw latents (N, h, w, C): (N, H, W, channels) uint8.

        Raises:
            RunError: a number in them is infinite or NaN.
        """
        codes = torch.from_numpy(np.ascontiguousarray(latents, dtype=np.float32)).permute(0, 3, 1, 2)
        with _exactly(self.device):
            pixels = self._network.decode(codes.to(self.device)).sample.permute(0, 2, 3, 1).cpu().numpy()
        if not np.isfinite(pixels).all():
            raise RunError("latents decode to numbers that are infinite or NaN")
        return np.rint((pixels / 2 + 0.5).clip(0, 1) * 255).astype(np.uint8)

    def fitting(self, rows: int, columns: int) -> int:
        """How many latents of that extent to decode at a time, so that memory suffices."""
        return max(1, _PIXELS_A_BATCH // (rows * columns * self.files.factor**2))


@contextmanager
def _exactly(device: str) -> Iterator[None]:
    """Full float32 and the same algorithms each time, whatever this process allows elsewhere."""
    cudnn = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    with torch.inference_mode(), torch.autocast(device, enabled=False), cudnn:
        yield


def _build(files: AutoencoderFiles) -> nn.Module:
    """The network with its weights; nothing is drawn at random on the way."""
    cls = _autoencoder_class()
    known = inspect.signature(cls.__init__).parameters
    options = {name: value for name, value in files.config.items() if name in known}
    try:
        with torch.device("meta"):
            network: nn.Module = cls(**options)
    except Exception as error:  # whatever its constructor makes of options that do not fit together
        raise UserError(f"{files.folder / 'config.json'}: cannot be built ({_one_line(error)})") from None
    tensors = {_current_name(name): tensor for name, tensor in read_foreign(files.weights).tensors.items()}
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    for name in sorted(expected.keys() ^ tensors.keys()):
        raise UserError(f"{files.weights}: tensor {name} is {'missing' if name in expected else 'not of its config'}")
    for name, shape in expected.items():
        if tuple(tensors[name].shape) != shape:
            raise UserError(f"{files.weights}: tensor {name} is {tuple(tensors[name].shape)}, its config says {shape}")
    network.load_state_dict(tensors, assign=True)
    return network.float().requires_grad_(False).eval()


def _autoencoder_class() -> Any:
    try:
        from diffusers import AutoencoderKL
    except ImportError:
        raise UserError("an autoencoder needs the package diffusers: pip install 'beeline[vae]'") from None
    except RuntimeError as error:  # what its lazy modules make of a dependency that does not import
        raise UserError(f"diffusers does not import ({_one_line(error)}); pip install 'beeline[vae]' anew") from None
    return AutoencoderKL


def _current_name(name: str) -> str:
    return _OLD_NAME.sub(lambda match: f"{match[1]}{_OLD_NAMES[match[2]]}{match[3]}", name)


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
