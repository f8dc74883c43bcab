"""Images to latents, by an autoencoder: ``beeline convert IMAGES LATENTS --vae FOLDER``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from beeline.cli.console import Display
from beeline.core.config import build
from beeline.core.errors import UserError, whole_number

_FLAGS = ("size", "batch_size", "flips", "labels", "bad_files", "seed")


def encode(
    images: str | Path,
    to: str | Path,
    vae: str | Path,
    batch_size: int | None = None,
    device: str = "auto",
    display: Display | None = None,
    **options: Any,
) -> Path:
    """Encode images into a folder of latents, which ``beeline.train`` takes; goes on where it was stopped.

    Args:
        images: a folder of images, or a folder or file of arrays of 8 or 16 bits.
        to: folder of the latents.
        vae: folder of an AutoencoderKL that diffusers saved, or of a whole pipeline with one in ``vae``.
        batch_size: images at a time; latents agree to 1e-5 whatever it is.
        device: cpu, cuda or auto.
        display: where progress goes; silent when None.
        options: fields of ``beeline.data.latent_encoding.Encoding`` that differ from their defaults: ``size`` (256),
            ``flips`` (True), ``labels`` (folders), ``bad_files`` (refuse), ``seed`` (0).

    Returns:
        the folder of the latents.

    Raises:
        UserError: something is missing, damaged or does not fit, or the folder holds something else.
    """
    from beeline.core.device import find_device
    from beeline.core.files import check_writable
    from beeline.core.units import size
    from beeline.data.autoencoder import Autoencoder, find_autoencoder
    from beeline.data.image_sources import find_images
    from beeline.data.latent_encoding import Encoding, encode_images, plan_latents
    from beeline.data.latent_store import LatentWriter, claimed
    from beeline.model.format import library_version

    display = display or Display("silent")
    encoding = build(Encoding, options)
    batch_size = None if batch_size is None else whole_number("batch_size", batch_size, 1)
    files, target = find_autoencoder(Path(vae)), Path(to)
    check_writable(target)
    autoencoder = Autoencoder(files, find_device(device))
    try:
        found = find_images(Path(images).expanduser(), encoding.labels, encoding.bad_files)
    except UserError as error:
        raise UserError(_as_our_flags(str(error))) from None
    index, columns, reading, notes = plan_latents(found, files, encoding, library_version())
    for line in (*notes, *found.notes):
        display.message(line)
    with claimed(target), display.work("encoding") as progress:
        writer = LatentWriter(target, index, columns)
        if 0 < writer.done < index.count:
            display.message(f"{target}: going on after {writer.done:,} of {index.count:,} images")
        encode_images(found.pictures, reading, autoencoder, writer, batch_size, progress)
    rows, wide, channels = index.shape
    mirrored = " and their mirror images" if index.flips else ""
    display.result(
        f"{target}: latents {rows}x{wide}x{channels} of {index.count:,} images{mirrored}, float32, "
        f"{size(index.count * index.bytes_an_image)}; scale {index.scale:g} is left to the model"
    )
    return target


def _as_our_flags(message: str) -> str:
    """What is said of a run's options, said of ours."""
    message = message.replace("; say where the images are, --data.path FOLDER", "")
    return message.replace("--data.bad_files", "--bad-files").replace("--data.labels", "--labels")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``beeline convert`` that are about encoding images."""
    group = parser.add_argument_group("images to latents: beeline convert IMAGES LATENTS --vae FOLDER")
    group.add_argument("--vae", metavar="FOLDER", help="an AutoencoderKL, or a pipeline, that diffusers saved")
    group.add_argument("--size", metavar="N|RxC", help="pixels of every image (256)")
    group.add_argument("--flips", action=argparse.BooleanOptionalAction, help="encode mirror images too (yes)")
    group.add_argument("--labels", metavar="WHERE", help="folders, none or a manifest (folders)")
    group.add_argument("--bad-files", metavar="WHAT", help="refuse or leave_out (refuse)")
    group.add_argument("--seed", type=int, help="of the draws from the posterior (0)")
    group.add_argument("--batch-size", type=int, help="images at a time")


def is_asked(arguments: argparse.Namespace) -> bool:
    """Whether images are to be encoded.

    Raises:
        UserError: a flag of encoding was given, and no autoencoder.
    """
    given = [name for name in _FLAGS if getattr(arguments, name) is not None]
    if arguments.vae is None and given:
        raise UserError(f"--{given[0].replace('_', '-')}: is about encoding images, which needs --vae FOLDER")
    return arguments.vae is not None


def refuse(arguments: argparse.Namespace, more: tuple[str, ...] = ()) -> None:
    """Refuse the flags of encoding where a checkpoint is converted.

    Args:
        arguments: of the command.
        more: further flags that mean nothing then.

    Raises:
        UserError: one was given.
    """
    for name in (*more, *_FLAGS):
        if getattr(arguments, name) is not None:
            raise UserError(
                f"--{name.replace('_', '-')}: is about encoding images, not about checkpoints; leave it out"
            )


def main(arguments: argparse.Namespace, display: Display) -> None:
    """Run ``beeline convert IMAGES LATENTS --vae FOLDER``."""
    if arguments.to is None:
        raise UserError("say where the latents go: beeline convert IMAGES LATENTS --vae FOLDER")
    for name, default in (("ema_width", None), ("weights", "ema"), ("modality", None)):
        if getattr(arguments, name) != default:
            raise UserError(f"--{name.replace('_', '-')}: is about trained models, not about encoding images")
    given = {name: getattr(arguments, name) for name in _FLAGS if getattr(arguments, name) is not None}
    encode(arguments.source, arguments.to, arguments.vae, device=arguments.device, display=display, **given)
