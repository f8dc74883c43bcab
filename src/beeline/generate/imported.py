"""A peer's checkpoint as an engine, and the autoencoders that decode samples."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from beeline.core.device import find_device
from beeline.core.errors import UserError
from beeline.core.offers import Decoding
from beeline.data.autoencoder import find_autoencoder
from beeline.data.normalisers import Scale
from beeline.generate.engine import Engine
from beeline.modalities.loading import find_decoding_modality
from beeline.model.format import DESCRIPTION
from beeline.model.interop.imported import Imported


def is_file_of_peer(path: Path) -> bool:
    """Whether a .safetensors file lies without the description that ours have beside them."""
    descriptions = (path.with_suffix(".json"), path.with_name(DESCRIPTION))
    return path.suffix.lower() == ".safetensors" and path.is_file() and not any(map(Path.is_file, descriptions))


def open_imported(imported: Imported, vae: str | Path | None = None, device: str = "auto") -> Engine:
    """A peer's network, ready to sample.

    Args:
        imported: what ``interop.load`` opened.
        vae: folder of the autoencoder that decodes its samples; a pipeline has its own.
        device: ``cpu``, ``cuda`` or ``auto``.

    Raises:
        UserError: there is no such autoencoder or device.
    """
    pipeline, start = imported.kept.pipeline, imported.starting()
    if vae not in (None, "none"):
        files = find_autoencoder(Path(str(vae)))
        if files.channels != imported.anatomy.channels:
            raise UserError(
                f"vae {vae}: its latents have {files.channels} channels, the network's {imported.anatomy.channels}"
            )
        start = replace(start, codec=replace(start.codec, normaliser=Scale(files.scale, files.shift)))
    folder = vae if vae is not None else pipeline.vae if pipeline else "none"
    decoder = "none" if folder == "none" else str(Path(str(folder)).expanduser().absolute())
    options = {"vae": decoder, "patch": imported.anatomy.patch}
    modality = find_decoding_modality().make(options)
    process, source, _ = start.parts()
    network = imported.to(find_device(device)).network
    return Engine(network, start, modality, process, source, imported)


def with_decoder(modality: Any, vae: str) -> Any:
    """A modality with another autoencoder.

    Args:
        modality: the kind of data.
        vae: folder of the autoencoder; ``none`` leaves latents.

    Raises:
        UserError: it has none.
    """
    if not (isinstance(modality, Decoding) and hasattr(modality, "vae")):
        raise UserError(f"vae {vae}: this model's samples are not latents; leave it out")
    options: Any = modality
    return replace(options, vae=vae)
