"""Options of the classifiers whose last hidden layers are feature spaces."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ClassifierConfig:
    """One small convolutional classifier and how it is trained.

    Args:
        seed: of its first weights and of the order of its examples.
        widths: channels of its stages; behind each the extents are halved.
        kernel: extent of the first stage's kernel; those after it have 3.
        features: width of its last hidden layer, which is the feature space.
        most_pixels: longer sides of images are averaged down to this.
        steps: of training.
        batch_size: images a step.
        learning_rate: of AdamW at its height; it rises over the first tenth of the steps and falls to 0 over the rest.
        weight_decay: of AdamW.
        least_per_class: images of every class that its half of the training data must hold.
    """

    seed: int
    widths: tuple[int, ...]
    kernel: int
    features: int
    most_pixels: int
    steps: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    least_per_class: int


@dataclass(frozen=True)
class ClassifiersConfig:
    """The two of them, trained on disjoint halves of the labelled training data.

    Args:
        a: trained on the first, third, ... example of every class.
        b: trained on the second, fourth, ... example of every class.
    """

    a: ClassifierConfig
    b: ClassifierConfig
