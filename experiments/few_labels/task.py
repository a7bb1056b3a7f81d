"""Images, and which of them keep their label."""

from typing import Any, NamedTuple

import numpy as np

import vaejax
from experiments.errors import UserError


class Task(NamedTuple):
    """Images in [0, 1], and which of them are labelled for each seed."""

    train: np.ndarray  # [N, *event]
    train_label: np.ndarray  # [N]
    test: np.ndarray
    test_label: np.ndarray
    labelled: np.ndarray  # [S, num_labels] rows of `train`
    num_classes: int

    def errors(self, predicted: Any) -> np.ndarray:
        """The share of test images `[...]` that are misjudged by `[..., M]`."""
        return (np.asarray(predicted) != self.test_label).mean(axis=-1)


def load(
    dataset: str,
    data_dir: str | None,
    num_labels: int,
    num_seeds: int,
    test_fraction: float,
    seed: int,
) -> Task:
    """Loads a data set and draws the labelled images of every seed."""
    images = vaejax.data.load(
        dataset, data_dir=data_dir, validation_fraction=test_fraction, seed=seed
    )
    held = [images.validation, *([images.test] if images.test else [])]
    parts = [images.train, *held]
    if any(split.label is None or (split.label < 0).any() for split in parts):
        raise UserError(f"{dataset}: every image needs a label, here to be forgotten.")
    x = [split.image.astype(np.float32) / np.float32(images.scale) for split in parts]
    if min(part.min() for part in x if part.size) < 0 or x[0].max() > 1:
        raise UserError(f"{dataset}: images must lie between 0 and {images.scale:g}.")
    label = [np.asarray(split.label) for split in parts]
    test_label = np.concatenate(label[1:])
    classes, counts = np.unique(label[0], return_counts=True)
    num_classes = len(classes)
    if num_labels % num_classes or (counts < num_labels // num_classes).any():
        raise UserError(
            f"--num-labels must be a multiple of the {num_classes} classes, at most "
            f"{num_classes * counts.min()}, got {num_labels}."
        )
    if (classes != np.arange(num_classes)).any() or not len(test_label):
        raise UserError(f"{dataset}: expected labels from 0 on and images held out.")
    labelled = np.empty((num_seeds, num_labels), int)
    for s in range(num_seeds):
        rng = np.random.default_rng((seed, s))
        own = [rng.permutation(np.flatnonzero(label[0] == c)) for c in classes]
        labelled[s] = np.concatenate([c[: num_labels // num_classes] for c in own])
    return Task(
        x[0], label[0], np.concatenate(x[1:]), test_label, labelled, num_classes
    )
