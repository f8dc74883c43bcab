"""The one engine that turns a trained model into native samples.

Item number i of seed s is the same sample in any batch and any order: its start is drawn from the key (s, i) alone.

Shapes: N items.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from beeline.core.data import Example, Examples
from beeline.core.errors import UserError, whole_number
from beeline.core.offers import Decoding
from beeline.core.prediction import Passes, Prediction
from beeline.core.protocols import Modality, Process, Source
from beeline.core.random import Key
from beeline.core.state import SamplerState
from beeline.generate.asking import batches_of, by_name, columns_of, laid_out, look_over, told
from beeline.generate.guidance import (
    check_guidance,
    each_scale,
    guidance_record,
    guided_predictor,
    open_weak,
    with_one_scale,
)
from beeline.generate.plan import Plan
from beeline.generate.running import running
from beeline.generate.settings import settled
from beeline.generate.walk import Stretch, Way
from beeline.model.codec import Encoded, Form
from beeline.model.interop.imported import Imported
from beeline.model.network import Network
from beeline.model.starting import Starting
from beeline.samplers.config import SampleConfig, SampleOptions
from beeline.samplers.presets import preset_of
from beeline.samplers.solve import Watched

if TYPE_CHECKING:
    from beeline.generate.likelihood import Likelihoods
    from beeline.samplers.likelihood import LikelihoodSettings

Array = np.ndarray[Any, Any]
_CELLS_A_SAMPLE = 2**28


@dataclass(frozen=True)
class Request:
    """One sample asked for.

    Args:
        condition: what it should be, by condition name; what is left out is up to the model.
        form: its form; drawn from those of the training samples when None.
        cfg_scale: how strongly it is guided; as the settings say when None.
        like: native array that has what the normaliser leaves out of a sample; its start has it when None.
    """

    condition: Mapping[str, Any]
    form: Form | None = None
    cfg_scale: float | None = None
    like: Array | None = None


@dataclass(frozen=True)
class Samples:
    """What sampling gives back.

    Args:
        examples: native arrays with the conditions that were asked for.
        provenance: where they come from: checkpoint, seed, solver, network passes, guidance.
    """

    examples: list[Example]
    provenance: dict[str, Any]


class Engine:
    """A trained model, ready to sample.

    Args:
        network: with averaged weights, on its device.
        start: what it is: codec, options, and how samples are drawn unless asked otherwise.
        modality: the kind of data.
        process: the path that was trained.
        source: where noise comes from.
        imported: the peer's network that this is, None for a model of ours.
    """

    def __init__(
        self,
        network: Network,
        start: Starting,
        modality: Modality,
        process: Process,
        source: Source,
        imported: Imported | None = None,
    ) -> None:
        self.network = network.eval()
        self.codec = start.codec
        self.modality = modality
        self.process = process
        self.source = source
        self.defaults = start.sample
        self.origin = dict(start.origin)
        self.imported = imported
        self.device = next(network.parameters()).device
        self._start = start
        self._weak: dict[str, Engine] = {}

    def starting(self) -> Starting:
        """What exporting starts from, with the weights as they are now."""
        return replace(self._start, tensors=self.network.state_dict())

    def sample(
        self,
        n: int = 16,
        condition: Mapping[str, Any] | None = None,
        seed: int = 0,
        shape: Sequence[int] | None = None,
        batch_size: int | None = None,
        decode: bool = True,
        preset: str | None = None,
        **options: Unpack[SampleOptions],
    ) -> Array | list[Array]:
        """Draw samples: native ones, or the images that they decode to where the modality decodes.

        Args:
            n: how many.
            condition: value of each condition, for all items or a list of one for each; conditions left out are
                replaced by their null.
            seed: item i depends on (seed, i) alone.
            shape: extents of a grid, or identities of a set; drawn from the training samples' when None.
            batch_size: items at a time; chosen by their number of tokens when None.
            decode: whether latents become images, where there is a decoder; they stay latents, raw, without.
            preset: fast, balanced or best: sampler and steps by name; what is given beside it wins over it.
            options: fields of ``SampleConfig`` that differ from the run's: sampler, steps, cfg_scale (also a list of
                one for each item), ...

        Returns:
            one array (n, ...) where all samples have the same shape, else a list.

        Raises:
            UserError: an argument is out of range or a condition does not fit.
        """
        requests = self.requests(n, by_name(condition), shape, options.get("cfg_scale"))
        samples = self.generate(requests, seed, self.settings(preset, **with_one_scale(options)), batch_size)
        shown = self.decode(samples) if decode else None
        arrays = [example.array for example in (shown or samples).examples]
        return np.stack(arrays) if len({array.shape for array in arrays}) == 1 else arrays

    def log_likelihood(
        self, examples: Examples, seed: int = 0, settings: LikelihoodSettings | None = None, draws: int = 1
    ) -> Likelihoods:
        """How probable the model finds native samples given their conditions; see ``generate/likelihood.py``."""
        from beeline.generate.likelihood import log_likelihood  # which is about engines

        return log_likelihood(self, examples, seed, settings, draws)

    def decode(self, samples: Samples, batch_size: int | None = None) -> Samples | None:
        """What native samples are to people, decoded on this engine's device; None where nothing decodes them.

        Args:
            samples: of this engine.
            batch_size: samples at a time; as many as memory can be trusted with when None.

        Raises:
            UserError: what decodes them is gone.
        """
        if not isinstance(self.modality, Decoding):
            return None
        shown = self.modality.decoded(samples.examples, self.device.type, batch_size)
        return None if shown is None else Samples(list(shown), {**samples.provenance, **self.modality.decoder()})

    def settings(self, preset: str | None = None, **options: Unpack[SampleOptions]) -> SampleConfig:
        """The run's sampling options, with those of a preset and those given in their places.

        Raises:
            UserError: there is no such preset or option, or a value is of the wrong type or out of range.
        """
        return settled(self.defaults, preset, options)

    def requests(
        self,
        n: int,
        condition: Mapping[str, Any],
        shape: Sequence[int] | None = None,
        cfg_scale: float | Sequence[float] | None = None,
    ) -> list[Request]:
        """Spread values or lists of values over n items; one cfg_scale for all is left to the settings.

        Raises:
            UserError: n is not above 0, or a condition or the scales do not fit.
        """
        n = whole_number("n", n, 1)
        columns = columns_of(self.codec, condition, n)
        if shape is not None and not isinstance(shape, Sequence | np.ndarray):
            raise UserError(f"shape {shape!r}: needs a list of whole numbers")
        form = None if shape is None else tuple(whole_number("shape", extent, 0) for extent in shape)
        scales = each_scale(cfg_scale, n)
        values = ({name: column[item] for name, column in columns.items()} for item in range(n))
        return [Request(each, form, scale) for each, scale in zip(values, scales, strict=True)]

    def generate(
        self,
        requests: Sequence[Request],
        seed: int = 0,
        settings: SampleConfig | None = None,
        batch_size: int | None = None,
        progress: Callable[[int, int], None] | None = None,
        first: int = 0,
        watch: Callable[[Prediction], None] | None = None,
        way: Way | None = None,
    ) -> Samples:
        """Draw one sample for each request.

        Args:
            requests: at least one.
            seed: item i depends on (seed, i) alone.
            settings: how; the run's own when None.
            batch_size: items at a time.
            progress: called with (steps done, steps in all) over all batches.
            first: number of the first item.
            watch: shown every prediction on the way, in order.
            way: from empty frames to samples; from noise down the grid when None.

        Raises:
            UserError: a setting is out of range or a condition does not fit.
        """
        settings = settings or self.defaults
        seed = whole_number("seed", seed, 0)
        if batch_size is not None:
            batch_size = whole_number("batch_size", batch_size, 1)
        plan = Plan.make(settings, self.codec, self.network, self.source)
        look_over(self.codec, [request.condition for request in requests])
        scales = [settings.cfg_scale if each.cfg_scale is None else each.cfg_scale for each in requests]
        check_guidance(settings, scales, self.codec)
        weak = self._opened(settings.guide_by)
        numbers = Key.range(seed, first, len(requests)).numbers
        encoded = [self._encode(each, Key(seed, numbers[i : i + 1]), settings) for i, each in enumerate(requests)]
        if weak is not None:
            for item in encoded:
                weak.network.check_extents(item.tokens.layout[0].extents)
        batches = batches_of(encoded, batch_size)
        arrays: list[Array] = []
        passes: list[int] = []
        done = 0
        for start, stop in batches:
            batch = self.codec.batch(encoded[start:stop]).to(str(self.device))
            guided = plan.guided_numbers([item.tokens for item in encoded[start:stop]], self.codec)
            predictor = guided_predictor(self.network, settings, scales[start:stop], guided, weak)
            if watch is not None:
                predictor = Watched(predictor, watch)
            key = Key(seed, numbers[start:stop].to(self.device))
            placed = self.process.placed(batch.tokens, batch.conditions)

            def after_step(_: object) -> None:
                nonlocal done
                done += 1
                if progress is not None:
                    progress(done, len(batches) * (len(plan.times) - 1))

            stretch = Stretch(plan, predictor, placed, batch.conditions, key, range(start, stop), after_step)
            with running([each.network for each in (self, weak) if each], self.device.type, plan.settings):
                end = (way or self._from_noise)(stretch)
            passes += counted(end.passes, stop - start)
            likes = [each.like for each in requests[start:stop]]
            arrays.extend(self.codec.decode(end.x, [each.condition for each in requests[start:stop]], likes))
        examples = [Example(array, dict(request.condition)) for array, request in zip(arrays, requests, strict=True)]
        preset = preset_of(settings)
        how = {"seed": seed, "first": first, **({"preset": preset} if preset else {}), **asdict(plan.settings)}
        how |= guidance_record(scales, weak)
        return Samples(examples, {**self.origin, **how, "passes": told(passes)})

    def _from_noise(self, stretch: Stretch) -> SamplerState:
        key, first = stretch.key.fold("start"), stretch.plan.times[0].item()
        return stretch.down_from(self.process.prior(stretch.tokens, self.source, key, first))

    def _encode(self, request: Request, key: Key, settings: SampleConfig) -> Encoded:
        blank = laid_out(self.codec, self.form_of(request, key), settings.domain, self.network.knows_places)
        self.network.check_extents(blank.layout[0].extents)
        return self.codec.with_conditions(blank, request.condition)

    def form_of(self, request: Request, key: Key) -> Form:
        """The form of a sample: told, that of its maps, or one of training, which the key draws."""
        form = self.codec.form_of_maps(request.condition) if request.form is None else request.form
        if form is None:
            form = self._draw_form(key)
        if self.codec.tokenizer.axes and math.prod(form) > _CELLS_A_SAMPLE:
            raise UserError(f"shape {'x'.join(map(str, form))}: more than {_CELLS_A_SAMPLE:,} cells a sample")
        return form

    def _draw_form(self, key: Key) -> Form:
        counts = np.array([count for _, count in self.codec.forms], dtype=np.float64)
        place = float(key.fold("form").uniform()[0, 0])
        return self.codec.forms[int(np.searchsorted(counts.cumsum() / counts.sum(), place))][0]

    def _opened(self, guide_by: str | None) -> Engine | None:
        """The model that guidance leads away from, opened once."""
        if guide_by is not None and guide_by not in self._weak:
            self._weak[guide_by] = open_weak(guide_by, self.codec, self.network)
        return None if guide_by is None else self._weak[guide_by]


def counted(passes: Passes, samples: int) -> list[int]:
    """Network passes of each sample."""
    return [passes] * samples if isinstance(passes, int) else [int(each) for each in passes.expand(samples)]
