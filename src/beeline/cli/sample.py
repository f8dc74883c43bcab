"""``beeline sample``: draw samples from a trained model."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beeline.cli import peers
from beeline.cli.console import Display
from beeline.core.config import as_literals, leaves
from beeline.core.errors import UserError, unknown, whole_number
from beeline.core.files import check_writable, claim
from beeline.samplers.config import SampleConfig

if TYPE_CHECKING:
    from beeline.core.protocols import Condition
    from beeline.model.codec import Codec


def sample(
    run: str | Path,
    n: int = 16,
    condition: Mapping[str, Any] | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    shape: Sequence[int] | None = None,
    batch_size: int | None = None,
    modality: str | None = None,
    device: str = "auto",
    display: Display | None = None,
    vae: str | Path | None = None,
    **options: Any,
) -> list[Path]:
    """Draw samples from a trained model and write them.

    Args:
        run: a run folder, a checkpoint or a model.safetensors; or a checkpoint of DiT, SiT, LightningDiT or diffusers.
        n: how many.
        condition: value of each condition; text is read as on the command line, a list of texts goes round the items.
        seed: item i depends on (seed, i) alone.
        out: a .png, an .npz or a folder; the next free ``RUN/samples/drawn-001`` when None, of a peer's checkpoint
            ``samples/NAME/drawn-001`` here.
        shape: extents of a grid, or identities of a set; drawn from the training samples' when None.
        batch_size: items at a time.
        modality: file to use in place of the modality file that the model was trained with.
        device: cpu, cuda or auto.
        display: where progress goes; silent when None.
        vae: folder of the autoencoder that decodes latents, in place of the model's; ``none`` leaves them latents.
        options: a ``preset``; fields of ``SampleConfig`` that differ from the run's; ``trajectory``, strip or gif, for
            a picture of the first samples on their way from noise to data; ``summary``, levels of quantiles, True
            for 0.05, 0.5 and 0.95, for mean, deviation and quantiles of draws of one condition, as ``beeline.ensemble``
            gives them; and what a peer's checkpoint cannot say, see ``beeline.load``: layout, num_heads, null_row,
            input_size, use_rope.

    Returns:
        the files written.

    Raises:
        UserError: something given does not exist, does not fit or is out of range.
    """
    from beeline.generate.asking import by_name
    from beeline.generate.beside import Beside
    from beeline.generate.guidance import with_one_scale
    from beeline.generate.load import SaidOptions, load, samples_folder
    from beeline.generate.write import check_output, check_size, endings_of, write_samples

    n = whole_number("n", n, 1)
    display = display or Display("silent")
    said: Any = {name: options.pop(name) for name in SaidOptions.__annotations__ if name in options}
    beside = Beside(options.pop("trajectory", None), options.pop("summary", None))
    engine = load(run, modality, device, vae, **said)
    home = samples_folder(engine, Path(run))
    check_writable(home) if out is None else check_output(Path(out), endings_of(engine.modality))
    requests = engine.requests(n, read_values(engine.codec, by_name(condition), n), shape, options.get("cfg_scale"))
    check_size(engine, requests, seed, None if out is None else Path(out))
    settings = engine.settings(**with_one_scale(options))
    beside.check(engine, requests, settings)
    with display.work("compiling and sampling" if settings.compile else "sampling") as progress:
        samples = engine.generate(requests, seed, settings, batch_size, progress)
    with display.patience("decoding the samples; this takes a while"):
        decoded = engine.decode(samples)
    where = claim(home, "drawn") if out is None else Path(out)
    latents = samples.examples if decoded is not None else None
    written = write_samples(engine.modality, decoded or samples, where, latents)
    with display.patience("drawing what was asked for beside the samples; this takes a while"):
        written += beside.write(engine, requests, samples, settings, where)
    for path in written:
        display.result(str(path))
    return written


def read_values(codec: Codec, condition: Mapping[str, Any], n: int) -> dict[str, Any]:
    """Values of conditions from text; several texts go round the items.

    Args:
        codec: of the model.
        condition: texts, or values as they are, by name.
        n: how many items.

    Raises:
        UserError: there is no such condition, or it cannot be read.
    """

    def read(each: Condition, value: Any) -> Any:
        if isinstance(value, str):
            return each.parse(value)
        if isinstance(value, list) and value and all(isinstance(text, str) for text in value):
            parsed = [each.parse(text) for text in value]
            return parsed[0] if len(parsed) == 1 else [parsed[item % len(parsed)] for item in range(n)]
        return value

    return {name: read(codec.condition(name), value) for name, value in condition.items()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``beeline sample``."""
    parser.add_argument(
        "run", metavar="RUN", help="run folder, checkpoint or model.safetensors, or a checkpoint of a peer"
    )
    parser.add_argument("-n", type=int, default=16, help="number of samples (16)")
    parser.add_argument(
        "--condition",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a condition, such as label=3, law=0.5,1 or under=map.npy; given again, its values go round the samples; "
        "left out, it is unknown",
    )
    parser.add_argument("--seed", type=int, default=0, help="sample i depends on (seed, i) alone (0)")
    parser.add_argument(
        "--out", metavar="PATH", help="a .png, an .npz or a folder (RUN/samples/drawn-001, the next free number)"
    )
    parser.add_argument("--shape", metavar="AxB", help="extents of a grid such as 8x8, or identities of a set")
    parser.add_argument("--batch-size", type=int, help="samples at a time")
    parser.add_argument(
        "--vae", metavar="FOLDER", help="autoencoder that decodes latents (the model's); none leaves them latents"
    )
    parser.add_argument(
        "--trajectory", metavar="strip|gif", help="also draw how the first samples come about, and what was expected"
    )
    parser.add_argument(
        "--summary",
        nargs="?",
        const="",
        metavar="P,P",
        help="of fields also write mean, deviation and quantiles of the draws, which are of one condition, as netCDF "
        "(0.05,0.5,0.95, as far as so many draws have them)",
    )
    add_sampling_arguments(parser)
    peers.add_arguments(parser)


def add_sampling_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags that every command which samples shares; left out, the run's own options hold."""
    parser.add_argument(
        "--preset", help="fast, balanced or best: sampler and steps by name, under what is given beside"
    )
    parser.add_argument("--sampler", help="euler, heun, dpmpp_2m, dopri5, ddpm, ddim, stochastic_heun, ... (the run's)")
    parser.add_argument("--steps", type=int, help="steps from noise to data")
    parser.add_argument("--grid", help="where the steps lie: auto, uniform, quadratic, cosine, karras, log_snr, ...")
    parser.add_argument("--shift", type=float, help="moves the steps towards the noise; 1 is off")
    parser.add_argument("--cfg-scale", metavar="S", help="guidance u + s (c - u); 1 is off; sample takes 1,2,4 too")
    parser.add_argument("--guide-channels", metavar="C,C", help="channels to guide, or all (all)")
    parser.add_argument("--cfg-interval", metavar="FROM,TO", help="times at which to guide, or all (all)")
    parser.add_argument("--cfg-rescale", type=float, help="brings guided predictions back to their spread, 0 to 1")
    parser.add_argument("--guide-by", metavar="RUN", help="a worse model to be led away from in place of no condition")
    parser.add_argument("--precision", help="fp32 or bf16")
    parser.add_argument("--matmul", help="how fp32 matrices are multiplied: exact, fast or auto")
    parser.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        help="compile the network first: pays off where samples are many",
    )
    parser.add_argument(
        "--cuda-graph",
        action=argparse.BooleanOptionalAction,
        help="record a pass on a GPU and play it again: for small networks",
    )
    parser.add_argument("--eta", type=float, help="noise in the steps of sampler ddim, 0 (none) to 1")
    parser.add_argument("--variance", help="of the steps of sampler ddpm where none is learned: large or small")
    parser.add_argument("--clip", type=float, help="samplers ddpm and ddim keep the expected data within this size")
    parser.add_argument("--diffusion", help="w(t) of SDE samplers: sigma, sigma_squared, vp, constant, linear, ...")
    parser.add_argument("--diffusion-scale", type=float, help="factor on it")
    parser.add_argument("--rtol", type=float, help="relative error that sampler dopri5 allows itself in a step")
    parser.add_argument("--atol", type=float, help="absolute error that sampler dopri5 allows itself in a step")
    parser.add_argument("--domain", help="of another --shape: cells (as large as in training) or trained (finer cells)")
    parser.add_argument("--device", default="auto", help="cpu, cuda or auto (auto)")
    parser.add_argument("--modality", metavar="FILE", help="file to use in place of the model's modality file")


def sampling_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The sampling options among a command's flags.

    Raises:
        UserError: a value is not what its option takes.
    """
    given = {field.name: getattr(arguments, field.name, None) for field in dataclasses.fields(SampleConfig)}
    given["preset"] = arguments.preset
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if "cfg_scale" in options:
        options["cfg_scale"] = _scales("--cfg-scale", options["cfg_scale"])
    if "guide_channels" in options:
        text = options["guide_channels"]
        options["guide_channels"] = None if text == "all" else _whole_numbers("--guide-channels", text, ",")
    if "cfg_interval" in options:
        text = options["cfg_interval"]
        options["cfg_interval"] = None if text == "all" else _times("--cfg-interval", text)
    for name, hint in leaves(SampleConfig).items():
        if name in options and as_literals(hint) and options[name] not in as_literals(hint):
            raise unknown(f"--{name}", options[name], as_literals(hint))
    return options


@peers.wording()
def main(arguments: argparse.Namespace, flags: list[str], display: Display) -> None:
    """Run ``beeline sample``."""
    more: dict[str, Any] = {} if arguments.trajectory is None else {"trajectory": arguments.trajectory}
    if arguments.summary is not None:
        more["summary"] = _levels("--summary", arguments.summary)
    options = sampling_options(arguments)
    if isinstance(scales := options.get("cfg_scale"), tuple) and arguments.n > 0:
        options["cfg_scale"] = [scales[item % len(scales)] for item in range(arguments.n)]
    sample(
        arguments.run,
        arguments.n,
        named_values("--condition", arguments.condition),
        arguments.seed,
        arguments.out,
        None if arguments.shape is None else _whole_numbers("--shape", arguments.shape.replace(",", "x"), "x"),
        arguments.batch_size,
        arguments.modality,
        arguments.device,
        display,
        arguments.vae,
        **more,
        **peers.said(arguments),
        **options,
    )


def named_values(flag: str, texts: Sequence[str]) -> dict[str, list[str]]:
    """What NAME=VALUE given again and again says, by name.

    Raises:
        UserError: one has no name.
    """
    values: dict[str, list[str]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"{flag} {text}: needs a name and a value, such as label=3")
        values.setdefault(name, []).append(value)
    return values


def _scales(flag: str, text: str) -> float | tuple[float, ...]:
    """One scale, or those that go round the samples."""
    try:
        scales = tuple(map(float, text.split(",")))
    except ValueError:
        raise UserError(f"{flag} {text}: needs a number, or several such as 1,2,4") from None
    return scales if len(scales) > 1 else scales[0]


def _levels(flag: str, text: str) -> tuple[float, ...]:
    """Levels of quantiles; none where it is left to the number of draws."""
    try:
        return tuple(float(part) for part in text.split(",") if text)
    except ValueError:
        raise UserError(f"{flag} {text}: needs levels between 0 and 1 such as 0.1,0.5,0.9") from None


def _times(flag: str, text: str) -> tuple[float, ...]:
    try:
        first, last = map(float, text.split(","))
    except ValueError:
        raise UserError(f"{flag} {text}: needs two times from 0 to 1, such as 0,0.7") from None
    return first, last


def _whole_numbers(flag: str, text: str, separator: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(separator))
    except ValueError:
        raise UserError(f"{flag} {text}: needs whole numbers separated by '{separator}'") from None
