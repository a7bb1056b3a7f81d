"""The named sets as tensorflow-datasets builders; importing this file imports tfds.

A record holds 100 images, not one, stored as bytes: reading 60,000 images back record
by record takes 1.8 to 2.5 seconds of Python, in hundreds 0.2, and preparing them 0.3
instead of 2 to 6. So `num_examples` in the metadata counts records.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from vaejax.data.dataset import DataError, Split, take
from vaejax.data.idx import read_folder

RECORD = 100  # images


def info(builder: Any, event_shape: tuple[int, ...], description: str) -> Any:
    """Return the `DatasetInfo` of labelled uint8 images, in records of many."""
    features = {
        "image": tfds.features.Tensor(
            shape=(None, *event_shape), dtype=np.uint8, encoding="bytes"
        ),
        "label": tfds.features.Tensor(shape=(None,), dtype=np.int32, encoding="bytes"),
    }
    return tfds.core.DatasetInfo(
        builder=builder,
        description=description,
        features=tfds.features.FeaturesDict(features),
        disable_shuffling=True,
    )


def records(split: Split) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """Yield the split in order, `RECORD` images at a time."""
    for start in range(0, len(split.image), RECORD):
        yield start, take(split, slice(start, start + RECORD))._asdict()


class VaejaxDigits(tfds.core.GeneratorBasedBuilder):
    """scikit-learn's 1,797 handwritten digits, 8 x 8, values 0 to 16."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> Any:
        return info(self, (8, 8), self.__doc__ or "")

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {name: records(part) for name, part in digits_splits().items()}

    def _generate_examples(self) -> None:
        raise NotImplementedError("Each split has its generator.")


class VaejaxIdx(tfds.core.GeneratorBasedBuilder):
    """28 x 28 images of ten classes, from the four idx files in `manual_dir`."""

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Put the four idx files, plain or .gz, there."

    def _info(self) -> Any:
        return info(self, (28, 28), self.__doc__ or "")

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        splits = idx_splits(Path(dl_manager.manual_dir))
        return {name: records(part) for name, part in splits.items()}

    def _generate_examples(self) -> None:
        raise NotImplementedError("Each split has its generator.")


def digits_splits() -> dict[str, Split]:
    """Return 1,197 training, 200 validation and 400 test digits, stratified.

    The images are ordered by class, within a class as in the file, and dealt out by
    their place in this order modulo 9: 2 is validation, 0 and 4 are test. So every
    split has each class in its proportion to within two images, without a random
    number.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    label = digits.target.astype(np.int32)
    split = Split(digits.images.astype(np.uint8), label)
    order = np.argsort(label, kind="stable")
    place = np.empty(len(order), int)
    place[order] = np.arange(len(order)) % 9
    return {
        "train": take(split, ~np.isin(place, [0, 2, 4])),
        "validation": take(split, place == 2),
        "test": take(split, np.isin(place, [0, 4])),
    }


def idx_splits(folder: Path) -> dict[str, Split]:
    """Return the splits of a folder of MNIST's kind.

    The last sixth of the training file is validation: 10,000 of 60,000 images.

    Raises:
      DataError: if the folder has no test images, or images that are not 28 x 28
        uint8, or no labels, or labels that are not 0 to 9.
    """
    train, test = read_folder(folder)
    if test is None:
        remedy = "Add t10k-images and t10k-labels, or load the folder as idx:FOLDER."
        raise DataError(folder, "t10k-images", "a test set", "none", remedy)
    for part, split in {"train": train, "t10k": test}.items():
        remedy = "Check the files, or load the folder as idx:FOLDER."
        if split.image.dtype != np.uint8 or split.image.shape[1:] != (28, 28):
            got = f"{split.image.dtype} {split.image.shape[1:]}"
            expected = "uint8 images of 28 x 28"
            raise DataError(folder, f"{part}-images", expected, got, remedy)
        if split.label is None or split.label.min() < 0 or split.label.max() > 9:
            got = "none" if split.label is None else f"{split.label.max()} among them"
            raise DataError(folder, f"{part}-labels", "labels 0 to 9", got, remedy)
    num_train = len(train.image) - len(train.image) // 6
    if num_train == len(train.image):
        expected, got = "at least 6 images", str(num_train)
        raise DataError(folder, "train-images", expected, got, remedy)
    return {
        "train": take(train, slice(num_train)),
        "validation": take(train, slice(num_train, None)),
        "test": test,
    }
