"""What the models are compared on: images in [0, 1], and how to look at them."""

import math
from typing import NamedTuple

import numpy as np

from experiments.errors import UserError
from vaejax import data


class Subject(NamedTuple):
    """Training images, and new ones that no model has seen."""

    name: str
    train: np.ndarray  # [N, *event] float32 in [0, 1]
    train_label: np.ndarray | None  # [N]
    new: np.ndarray  # [M, *event]: what the questions are asked about
    new_label: np.ndarray | None
    classes: tuple[int, int] | None
    num_images: int | None  # as asked for
    seed: int
    notes: tuple[str, ...]  # subsamples and rescaling, in words

    @property
    def title(self) -> str:
        """What to call the data: the last part of a path."""
        last = self.name.rstrip("/").rpartition("/")[2]
        return last.partition(":")[2] or last

    @property
    def is_ink(self) -> bool:
        """Whether 0 is the paper, so that it is shown in white."""
        return float(np.median(self.train)) < 0.25

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one image."""
        return self.train.shape[1:]


MAX_NEW = 1000  # new images that are asked about


def load(
    spec: str,
    *,
    data_dir: str | None,
    classes: tuple[int, int] | None,
    num_images: int | None,
    seed: int,
) -> Subject:
    """Loads a data set, and sets aside the images the questions are asked about.

    Nothing in the report is chosen by validation images, so they and the test images
    together are the new ones.

    Args:
      spec: as for `vaejax.data.load`.
      data_dir: as for `vaejax.data.load`.
      classes: the two classes of question 2, if it will be asked.
      num_images: how many training images to use; default all.
      seed: of the choice of images.

    Raises:
      UserError: if there are too few images, or `classes` are not among the labels.
    """
    dataset = data.load(spec, data_dir=data_dir, seed=seed)
    held = [dataset.validation, *([dataset.test] if dataset.test else [])]
    new = np.concatenate([split.image for split in held])
    labels = [split.label for split in (dataset.train, *held)]
    known = [label for label in labels if label is not None and (label >= 0).all()]
    labelled = len(known) == len(labels)
    rng = np.random.default_rng(seed)
    total, held_out = len(dataset.train.image), len(new)
    chosen = np.sort(rng.permutation(total)[:num_images])
    asked = rng.permutation(held_out)[:MAX_NEW]
    if len(chosen) < 16 or len(asked) < 16:
        raise UserError(
            f"{spec}: the report needs at least 16 images to train on and 16 to ask "
            f"about, got {len(chosen)} and {len(asked)}."
        )
    train_images, rescaled = unit(
        dataset.train.image, dataset.train.image, dataset.scale
    )
    new_images, _ = unit(new[asked], dataset.train.image, dataset.scale)
    notes = [
        f"Trained on {_of(len(chosen), total)} training images; the questions are "
        f"asked about {_of(len(asked), held_out)} new ones, held out from training."
    ]
    if rescaled:
        notes.append(rescaled)
    if not labelled:
        notes.append("No labels: what needs them is left out.")
    subject = Subject(
        name=spec,
        train=train_images[chosen],
        train_label=known[0][chosen] if labelled else None,
        new=new_images,
        new_label=np.concatenate(known[1:])[asked] if labelled else None,
        classes=classes,
        num_images=num_images,
        seed=seed,
        notes=tuple(notes),
    )
    return checked_classes(subject)


def _of(num: int, total: int) -> str:
    return f"all {num:,}" if num == total else f"{num:,} of {total:,}"


def checked_classes(subject: Subject) -> Subject:
    """Raises UserError unless both classes occur in both parts."""
    if subject.classes is None or subject.train_label is None:
        return subject
    assert subject.new_label is not None
    known = sorted(set(subject.train_label) & set(subject.new_label))
    if len(set(subject.classes)) != 2 or not set(subject.classes) <= set(known):
        raise UserError(
            f"classes must be two different labels of {[int(k) for k in known]}, got "
            f"{subject.classes}; choose with --classes."
        )
    return subject


def unit(image: np.ndarray, train: np.ndarray, scale: float) -> tuple[np.ndarray, str]:
    """Images as float32 in [0, 1], and a sentence if more than `scale` was needed."""
    low, high = float(train.min()) / scale, float(train.max()) / scale
    x = image.astype(np.float32) / np.float32(scale)
    if low >= 0 and high <= 1:
        return np.clip(x, 0, 1), ""
    x = (x - low) / max(high - low, 1e-12)
    return np.clip(x, 0, 1).astype(np.float32), (
        f"Values were mapped to the unit interval by the least ({low:g}) and greatest "
        f"({high:g}) training value; new ones beyond are clipped."
    )


def pictures(x: np.ndarray, event_shape: tuple[int, ...]) -> np.ndarray:
    """Events `[..., *event]` as pictures `[..., H, W]` or `[..., H, W, 3]`.

    What is no image is wrapped, value by value, in rows of about equal length.
    """
    lead = x.shape[: x.ndim - len(event_shape)]
    kept = tuple(size for size in event_shape if size != 1) or (1,)
    if len(kept) == 2 or (len(kept) == 3 and kept[-1] == 3):
        return x.reshape(*lead, *kept)
    if len(kept) == 3 and kept[0] == 3:
        return np.moveaxis(x.reshape(*lead, *kept), -3, -1)
    size = math.prod(event_shape)
    width = math.ceil(math.sqrt(size))
    height = -(-size // width)
    flat = x.reshape(*lead, size)
    padding = [(0, 0)] * len(lead) + [(0, height * width - size)]
    return np.pad(flat, padding, constant_values=0.0).reshape(*lead, height, width)


def is_picture(event_shape: tuple[int, ...]) -> bool:
    """Whether events are shown as they are, or wrapped in rows."""
    kept = tuple(size for size in event_shape if size != 1)
    return len(kept) == 2 or (len(kept) == 3 and 3 in (kept[0], kept[-1]))
