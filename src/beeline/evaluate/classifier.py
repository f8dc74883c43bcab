"""Small classifiers of labelled images, trained once per data set, whose last hidden layers are feature spaces.

They are trained and asked on the CPU in fp32, so that the features of a machine with a GPU are those of one without,
up to rounding.

Shapes: N images, H, W extents, C channels, F features.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load
from torch import Tensor, nn
from torch.nn import functional

from beeline.core.config import build, plain
from beeline.core.files import write_bytes, write_json
from beeline.core.yaml_text import read_yaml
from beeline.data.order import Order
from beeline.evaluate.config import ClassifierConfig, ClassifiersConfig
from beeline.model.format import tensors_bytes

Array = np.ndarray[Any, Any]
_IMAGES_AT_ONCE = 500


class Classifier(nn.Module):
    """Convolutions with batch norm, halving behind each; a hidden layer of F features; one number a class.

    Args:
        config: sizes.
        shape: (H, W, C) of the images.
        classes: how many.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: ClassifierConfig, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        height, width, channels = shape
        shrink = min(1.0, config.most_pixels / max(height, width))
        self.extents = (max(1, round(height * shrink)), max(1, round(width * shrink)))
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("deviation", torch.ones(channels, 1, 1))
        stages: list[nn.Module] = []
        height, width = self.extents
        before, kernel = channels, config.kernel
        for after in config.widths:
            stages += [nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(after)]
            stages += [nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)]
            before, kernel = after, 3
            height, width = -(-height // 2), -(-width // 2)
        self.stages = nn.Sequential(*stages)
        self.hidden = nn.Linear(before * height * width, config.features)
        self.head = nn.Linear(config.features, classes)

    def features(self, images_NCHW: Tensor) -> Tensor:
        """(N, F) the last hidden layer."""
        if tuple(images_NCHW.shape[2:]) != self.extents:
            images_NCHW = functional.interpolate(images_NCHW, self.extents, mode="area")
        scaled = (images_NCHW - self.mean) / self.deviation
        return functional.silu(self.hidden(self.stages(scaled).flatten(1)))

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """(N, classes) logits."""
        return self.head(self.features(images_NCHW))

    def embed(self, images_NHWC: Array) -> Array:
        """(N, F) features of native images."""
        return self._asked(images_NHWC, self.features)

    def accuracy(self, images_NHWC: Array, labels_N: Array) -> float:
        """Share of images whose largest number is their label's."""
        return float(np.mean(self._asked(images_NHWC, self).argmax(axis=1) == labels_N))

    def _asked(self, images_NHWC: Array, function: Any) -> Array:
        with torch.no_grad():
            pieces = torch.arange(len(images_NHWC)).split(_IMAGES_AT_ONCE)
            return torch.cat([function(_as_tensor(images_NHWC[piece])) for piece in pieces]).double().numpy()


@dataclass(frozen=True)
class Trained:
    """A classifier that is ready to be asked.

    Args:
        classifier: in evaluation mode.
        record: recipe, data fingerprint, held-out accuracy and hash of its weights.
    """

    classifier: Classifier
    record: dict[str, Any]


def read_recipe() -> ClassifiersConfig:
    """The recipe of both classifiers, which comes with the package."""
    with resources.as_file(resources.files("beeline") / "recipes" / "features" / "classifier.yaml") as file:
        return build(ClassifiersConfig, read_yaml(file), "classifier")


def train_classifier(config: ClassifierConfig, images_NHWC: Array, labels_N: Array, classes: int) -> Classifier:
    """Minimise cross-entropy by AdamW; a function of its arguments alone.

    Args:
        config: sizes and training.
        images_NHWC: native images.
        labels_N: whole numbers below ``classes``.
        classes: how many.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        classifier = Classifier(config, images_NHWC.shape[1:], classes)
    images_NCHW = functional.interpolate(_as_tensor(images_NHWC), classifier.extents, mode="area")
    labels = torch.from_numpy(np.asarray(labels_N, dtype=np.int64))
    classifier.mean.copy_(images_NCHW.mean((0, 2, 3)).view(-1, 1, 1))
    classifier.deviation.copy_(images_NCHW.std((0, 2, 3)).view(-1, 1, 1).clamp_min(1e-6))
    optimiser = torch.optim.AdamW(classifier.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    order = Order(len(labels), config.seed)
    warm = max(1, config.steps // 10)
    for step in range(config.steps):
        share = min((step + 1) / warm, (config.steps - step) / max(1, config.steps - warm))
        for group in optimiser.param_groups:
            group["lr"] = config.learning_rate * share
        picked = torch.tensor(order.indices(step * config.batch_size, config.batch_size))
        optimiser.zero_grad()
        functional.cross_entropy(classifier(images_NCHW[picked]), labels[picked]).backward()
        optimiser.step()
    return classifier.eval()


def kept_or_trained(
    home: Path,
    config: ClassifierConfig,
    training: tuple[Array, Array],
    held_out: tuple[Array, Array],
    classes: int,
    fingerprint: str,
) -> Trained:
    """The classifier that lies in a folder if it is the one that would be trained, else a fresh one, which is kept.

    Args:
        home: path without ending; ``.safetensors`` and ``.json`` are written.
        config: sizes and training.
        training: images and labels.
        held_out: images and labels on which its accuracy is measured.
        classes: how many.
        fingerprint: of the examples.
    """
    weights, record_path = home.with_suffix(".safetensors"), home.with_suffix(".json")
    wanted = {"recipe": plain(config), "data": fingerprint, "classes": classes, "examples": len(training[0])}
    try:
        record = json.loads(record_path.read_text(encoding="utf-8"))
        data = weights.read_bytes()
        if {name: record[name] for name in wanted} == wanted and record["sha256"] == hashlib.sha256(data).hexdigest():
            classifier = Classifier(config, training[0].shape[1:], classes).eval()
            classifier.load_state_dict(load(data))
            return Trained(classifier, record)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError):
        pass
    classifier = train_classifier(config, *training, classes)
    data = tensors_bytes(classifier.state_dict())
    record = {
        **wanted,
        "held_out_accuracy": classifier.accuracy(*held_out),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    write_bytes(weights, data)
    write_json(record_path, record)
    return Trained(classifier, record)


def _as_tensor(images_NHWC: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.asarray(images_NHWC, dtype=np.float32).transpose(0, 3, 1, 2)))
