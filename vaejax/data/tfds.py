"""Image sets of tensorflow-datasets: prepared, or preparable without TensorFlow."""

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

from vaejax.data.dataset import (
    DataError,
    Split,
    checked_dtype,
    checked_images,
    checked_labels,
    checked_shape,
    num_bytes,
)
from vaejax.data.quiet import quiet_tfds, silence
from vaejax.data.stream import Source
from vaejax.data.untrusted import check_size

READ = 1000  # records
SPLITS = ("train", "validation", "test")


def load_tfds(name: str, data_dir: str | None) -> dict[str, Split]:
    """Return the splits `train` and, if they exist, `validation` and `test`.

    Args:
      name: any name that `tfds.builder` takes.
      data_dir: where it is prepared, or is to be; default as in tfds.

    Raises:
      DataError: if it is not prepared as array_record and cannot be without
        TensorFlow, or holds no images that can be used.
    """
    file = f"tfds:{name}"

    def read(builder: Any) -> dict[str, Split]:
        names = [s for s in SPLITS if s in builder.info.splits]
        return {split: read_tfds(builder, split, file) for split in names}

    return with_builder(name, data_dir, read)


def from_tfds(
    name: str, split: str = "train", *, data_dir: str | None = None
) -> Source:
    """Return the images of a split, each record read when its batch is.

    Args:
      name: any name that `tfds.builder` takes.
      split: one of its splits.
      data_dir: where it is prepared, or is to be; default as in tfds.

    Raises:
      DataError: as `load_tfds`, or if it has no such split; when a batch is read, if
        it holds what is no image, such as a NaN.
    """
    file = f"tfds:{name}"

    def source(builder: Any) -> Source:
        if split not in builder.info.splits:
            expected, remedy = f"one of {sorted(builder.info.splits)}", "Name one."
            raise DataError(file, "split", expected, repr(split), remedy)
        records = builder.as_data_source(split=split)
        field, shape, _ = image_shape(builder, len(records), file)

        def take(rows: np.ndarray) -> np.ndarray:
            read = records.__getitems__([int(row) for row in rows])
            image = np.stack([record[field] for record in read])
            return checked_images(image.reshape(-1, *shape[1:]), file, field)

        return Source(len(records), take)

    return with_builder(name, data_dir, source)


def with_builder(name: str, data_dir: str | None, use: Callable[[Any], Any]) -> Any:
    """Return `use(builder)` of a prepared set; what goes wrong is a `DataError`."""
    file = f"tfds:{name}"
    tfds = quiet_tfds(file, "tensorflow_datasets")
    try:
        with silence():
            builder = tfds.builder(name, data_dir=data_dir, file_format="array_record")
    except Exception as error:  # parsing, look-up and the builder's own code
        remedy = "Check the name, and give data_dir if it is prepared elsewhere."
        expected = "a set that tfds knows or finds in data_dir"
        raise DataError(file, "name", expected, in_short(error), remedy) from error
    expected = "prepared as array_record, or preparable without TensorFlow"
    remedy = (
        f"Prepare it where TensorFlow is installed, with `tfds build {name} "
        "--file_format=array_record`, and give its data_dir."
    )
    if not builder.is_prepared() and needs_tensorflow(builder.info.features):
        got = "neither: it encodes pictures with TensorFlow"
        raise DataError(file, "builder", expected, got, remedy)
    try:
        with silence():
            builder.download_and_prepare()
            return use(builder)
    except DataError:
        raise
    except Exception as error:  # downloads, the builder's own code, the reader
        got = in_short(error)
        raise DataError(file, "builder", expected, got, remedy) from error


def needs_tensorflow(features: Any) -> bool:
    """Return whether a picture is encoded by TensorFlow, which is not installed."""
    import tensorflow_datasets as tfds

    pictures = (tfds.features.Image, tfds.features.Video)
    return importlib.util.find_spec("tensorflow") is None and any(
        isinstance(feature, pictures) for feature in features.values()
    )


def in_short(error: Exception) -> str:
    """Return type and first words of an error, on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:80]}"


def read_tfds(builder: Any, name: str, file: str) -> Split:
    """Read a split of one record per image, into an array made beforehand."""
    features, source = builder.info.features, builder.as_data_source(split=name)
    field, shape, stored = image_shape(builder, len(source), file)
    check_size(num_bytes(shape, stored), file, field)
    image = np.empty(shape, stored)
    label = np.full(len(source), -1, np.int64)
    labelled = "label" in features and np.dtype(features["label"].np_dtype).kind in "iu"
    for start in range(0, len(source), READ):
        index = range(start, min(start + READ, len(source)))
        for i, record in zip(index, source.__getitems__(list(index)), strict=True):
            image[i] = record[field]
            if labelled:
                label[i] = record["label"]
    image = checked_images(image, file, field)
    checked = checked_labels(label, len(image), file, "label") if labelled else None
    return Split(image, checked)


def image_shape(
    builder: Any, num: int, file: str
) -> tuple[str, tuple[int, ...], np.dtype]:
    """Return the name, shape `[num, *event]` and dtype of the images, if usable."""
    features = builder.info.features
    field = image_field(features, file)
    stored = np.dtype(features[field].np_dtype)
    shape = (num, *features[field].shape)
    if None in shape:
        remedy = "Choose a set of images of one size."
        raise DataError(file, field, "a fixed shape", f"shape {shape}", remedy)
    checked_shape(shape, file, field)
    checked_dtype(stored, file, field)
    return field, shape, stored


def image_field(features: Any, file: str) -> str:
    """Return `image`, `x`, or the name of the only feature with two axes or more."""
    large = [name for name, feature in features.items() if len(feature.shape or ()) > 1]
    for name in ("image", "x", *large[: len(large) == 1]):
        if name in features:
            return str(name)
    got = f"features {sorted(features)}"
    raise DataError(file, "image", "a feature `image`", got, "Choose a set of images.")
