"""Options of training, and the config of a whole run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from beeline.backbone.config import ModelConfig
from beeline.core.errors import UserError, whole_number
from beeline.objectives.config import ObjectiveConfig
from beeline.process.config import ProcessConfig
from beeline.samplers.config import SampleConfig

_MOST_THREADS = 1024
LEAST_SNAPSHOTS = 16
_Value = TypeVar("_Value")


def chosen(name: str, value: _Value | None) -> _Value:
    """An option that may be left open, once it is not any more."""
    if value is None:
        raise ValueError(f"train.{name} is still open")
    return value


@dataclass(frozen=True)
class TrainConfig:
    """Training.

    Args:
        preset: a set of options by name, which options given beside it win over: paper (Peebles & Xie 2023: batch 256,
            constant learning rate 1e-4, no warm-up, no clipping, weight decay 0, average 0.9999, fp32) or stable (bf16,
            warm-up, clipping at 1, normalised queries and keys).
        duration: how long, with its unit: 500 steps, 100k samples, 20 epochs or 5m; auto: chosen.
        steps: short form of duration, in steps.
        budget: short form of duration, in time of training (5m); measured once, kept as steps.
        batch_size: samples a step, over all micro-batches; null: chosen.
        accumulation: micro-batches a step; must divide batch_size.
        packing: put several short samples into one row instead of padding each.
        learning_rate: of AdamW, after the warm-up; null: chosen.
        betas: decay rates of AdamW's two moments.
        weight_decay: of AdamW.
        schedule: of the learning rate after the warm-up: wsd (constant, then a linear decay), cosine, or constant.
        warmup_steps: steps over which the learning rate rises to its value; null: chosen.
        decay_share: last share of the run over which wsd falls.
        decay_to: share of the learning rate that is left at the end of wsd and cosine.
        clip_norm: largest gradient norm; 0 is off.
        ema_decay: decay of the averaged weights, which sampling uses.
        ema_warmup: let the average forget its random start: min(decay, (1 + n)/(10 + n)) at step n.
        ema_snapshots: how many times, evenly spread over the run, two more averages (relative widths 0.05 and 0.10) are
            kept outside the rotation of checkpoints, for ``beeline convert --ema-width``; at least 16, or 0 for none.
        on_nan: when a gradient is not finite: stop, or skip that step, which is counted in the log.
        skip_steps: steps, counted from 1, that pass without touching the weights.
        freeze: names of parameters that stay as they are, as patterns such as backbone.blocks.* (beeline inspect lists
            the names).
        lora_rank: inner size of low-rank additions, which alone are trained beside what was never trained (Hu et al.
            2021); 0 trains the weights themselves; needs --init.
        lora_alpha: factor on the additions, times lora_rank; lora_rank when absent, which makes it 1.
        lora_layers: names of the linear layers that are added to, as patterns.
        activation_checkpointing: compute activations again on the way back instead of keeping them: less memory, more
            time, the same numbers; auto: where they do not fit into the memory that there is.
        memory: GiB that training may take at its peak; all that is free when absent.
        precision: fp32, bf16 (autocast over fp32 weights), or auto: bf16 where the hardware computes in it.
        matmul: how fp32 matrices are multiplied: exact; fast (by oneDNN on a CPU, which may round more, as TF32 on a
            GPU, which does); or auto: fast on a CPU where it is measured to be quicker and as exact.
        compile: train blocks that torch.compile has made for the shapes at hand, which the first steps wait for.
        cuda_graph: record what a step does on a GPU and play it again, for networks so small that Python is what is
            waited for; for data of one form.
        device: cpu, cuda, or auto.
        in_memory: keep the training examples in memory, on the device, instead of reading them again and again; where
            they fit well when absent.
        workers: processes that read data that are not in memory; as many as training needs not to wait when absent.
        threads: CPU threads; as many as are quickest here, measured at the start, when absent.
        seed: of weights, order, times, noise and dropping of conditions.
        force_split: take splits that share a group, which are refused otherwise: held-out losses and scores are then
            too good, which the model's description tells.
        checkpoint_every: steps between checkpoints; null: chosen.
        keep_checkpoints: how many of the last checkpoints stay.
        log_every: steps between lines of log.jsonl.
        held_out_every: steps between measurements of the loss on held-out examples; 0 leaves them out.
        sample_every: steps between pictures of samples, in samples/steps; 0 leaves them out.
        tensorboard: write the log for TensorBoard too; where it is installed when absent.
        score_samples: samples on which a finished run is scored; 0 leaves scoring out.
    """

    preset: Literal["none", "paper", "stable"] = "none"
    duration: str = "2000 steps"
    steps: int | None = None
    budget: str | None = None
    batch_size: int | None = 64
    accumulation: int = 1
    packing: bool = False
    learning_rate: float | None = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.0
    schedule: Literal["wsd", "cosine", "constant"] = "wsd"
    warmup_steps: int | None = 50
    decay_share: float = 0.35
    decay_to: float = 0.02
    clip_norm: float = 1.0
    ema_decay: float = 0.99
    ema_warmup: bool = True
    ema_snapshots: int = 16
    on_nan: Literal["stop", "skip"] = "stop"
    skip_steps: tuple[int, ...] = ()
    freeze: tuple[str, ...] = ()
    lora_rank: int = 0
    lora_alpha: float | None = None
    lora_layers: tuple[str, ...] = ("*.attention.qkv", "*.attention.projection")
    activation_checkpointing: Literal["auto"] | bool = "auto"
    memory: float | None = None
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    matmul: Literal["auto", "exact", "fast"] = "auto"
    compile: bool = False
    cuda_graph: bool = False
    device: Literal["auto", "cpu", "cuda"] = "auto"
    in_memory: bool | None = None
    workers: int | None = None
    threads: int | None = None
    seed: int = 0
    force_split: bool = False
    checkpoint_every: int | None = 200
    keep_checkpoints: int = 2
    log_every: int = 10
    held_out_every: int = 100
    sample_every: int = 500
    tensorboard: bool | None = None
    score_samples: int = 1000

    def __post_init__(self) -> None:
        if self.steps is not None and self.budget is not None:
            raise UserError("steps and budget both say how long to train; give one of them")
        for name in (
            "steps",
            "batch_size",
            "accumulation",
            "threads",
            "checkpoint_every",
            "keep_checkpoints",
            "log_every",
        ):
            value = getattr(self, name)
            if value is not None:
                whole_number(name, value, 1, _MOST_THREADS if name == "threads" else 2**63 - 1)
        whole_number("seed", self.seed, 0)
        if whole_number("ema_snapshots", self.ema_snapshots, 0) and self.ema_snapshots < LEAST_SNAPSHOTS:
            raise UserError(f"ema_snapshots {self.ema_snapshots}: must be at least {LEAST_SNAPSHOTS}, or 0 for none")
        if self.workers is not None:
            whole_number("workers", self.workers, 0, _MOST_THREADS)
            if self.workers and self.in_memory:
                raise UserError("workers read data that are not in memory; leave one of workers and in_memory out")
        for name in ("weight_decay", "warmup_steps", "clip_norm", "held_out_every", "sample_every", "score_samples"):
            if not (getattr(self, name) or 0) >= 0:
                raise UserError(f"{name} {getattr(self, name)}: must not be negative")
        if self.memory is not None and not 0 < self.memory < float("inf"):
            raise UserError(f"memory {self.memory}: must be above 0, in GiB")
        if self.learning_rate is not None and not 0 < self.learning_rate < float("inf"):
            raise UserError(f"learning_rate {self.learning_rate}: must be above 0")
        for name, value in [("ema_decay", self.ema_decay), ("betas", min(self.betas)), ("betas", max(self.betas))]:
            if not 0 <= value < 1:
                raise UserError(f"{name} {value}: must be at least 0 and below 1")
        for name, value in [("decay_share", self.decay_share), ("decay_to", self.decay_to)]:
            if not 0 <= value <= 1:
                raise UserError(f"{name} {value}: must lie between 0 and 1")
        for name, schedules in (("decay_share", ("wsd",)), ("decay_to", ("wsd", "cosine"))):
            if self.schedule not in schedules and getattr(self, name) != getattr(TrainConfig, name):
                raise UserError(f"{name} belongs to schedule {' and '.join(schedules)}, not to {self.schedule}")
        for step in self.skip_steps:
            whole_number("skip_steps", step, 1)
        whole_number("lora_rank", self.lora_rank, 0)
        for name in ("lora_alpha", "lora_layers"):
            if not self.lora_rank and getattr(self, name) != getattr(TrainConfig, name):
                raise UserError(f"{name} belongs to lora_rank, which is 0; give both or neither")
        if self.lora_alpha is not None and not 0 < self.lora_alpha < float("inf"):
            raise UserError(f"lora_alpha {self.lora_alpha}: must be above 0")
        if self.lora_rank and not self.lora_layers:
            raise UserError("lora_layers: name at least one layer, or leave lora_rank out")
        if self.batch_size is not None and self.batch_size % self.accumulation:
            raise UserError(f"batch_size {self.batch_size} does not divide into {self.accumulation} micro-batches")


# Resuming keeps every option as stored, except duration, what is written when, and where data are kept.
CHANGEABLE = (
    "train.duration",
    "train.steps",
    "train.budget",
    "train.ema_snapshots",
    "train.checkpoint_every",
    "train.log_every",
    "train.held_out_every",
    "train.in_memory",
    "train.workers",
    "train.sample_every",
    "train.tensorboard",
)

# E14: what the paper did and what makes long runs in bf16 safe are two things, each under its name.
PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "none": {},
    "paper": {
        "train": {
            "batch_size": 256,
            "learning_rate": 1e-4,
            "betas": [0.9, 0.999],
            "weight_decay": 0.0,
            "schedule": "constant",
            "warmup_steps": 0,
            "decay_share": 0.35,
            "decay_to": 0.02,
            "clip_norm": 0.0,
            "ema_decay": 0.9999,
            "ema_warmup": False,
            "precision": "fp32",
        }
    },
    "stable": {"train": {"precision": "bf16", "warmup_steps": 500, "clip_norm": 1.0}, "model": {"qk_norm": True}},
}


@dataclass(frozen=True)
class RunConfig:
    """Everything that makes a run.

    Args:
        modality: name of a built-in modality, or the path of a file that ends with ``MODALITY = ...``.
        data: options of the modality.
        model: the network.
        process: the path between data and noise.
        objective: what is minimised.
        train: how.
        sample: how samples are drawn from it.
    """

    modality: str
    data: Mapping[str, Any] = field(default_factory=dict)
    model: ModelConfig = field(default_factory=ModelConfig)
    process: ProcessConfig = field(default_factory=ProcessConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)
