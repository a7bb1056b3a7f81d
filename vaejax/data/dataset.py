"""What a dataset is, which arrays may enter one, and the error for those that may not.

Images keep their own dtype on the host: bool, uint8, float32, or int32 for counts.
`Dataset.scale` is the value that means 1.0; dividing by it happens on the device.
"""

import hashlib
import math
from typing import NamedTuple

import numpy as np


class Split(NamedTuple):
    """Images and their labels, in one order."""

    image: np.ndarray  # [N, *event]: bool, uint8, float32 or int32 (counts)
    label: np.ndarray | None  # [N] int32, -1 where unknown


class Dataset(NamedTuple):
    """Training, validation and perhaps test images of one dtype and event shape."""

    name: str  # the spec it was loaded from
    train: Split
    validation: Split  # may be empty: [0, *event]
    test: Split | None
    scale: float  # what 1.0 means: digits 16, uint8 255, everything else 1


class DataError(ValueError):
    """Data that cannot be used: which file and field, what was expected, what to do."""

    def __init__(self, file: object, field: str, expected: str, got: str, remedy: str):
        """Keep the parts as attributes.

        Args:
          file: path or spec of the data.
          field: the part of it that is wrong, such as `header` or `image`.
          expected: what would have been accepted.
          got: what was found; untrusted text, shortened and made printable.
          remedy: what to do about it, an imperative sentence.
        """
        super().__init__(str(file), field, expected, got, remedy)
        self.file, self.field, self.remedy = str(file), field, remedy
        self.expected, self.got = expected, got

    def __str__(self) -> str:
        """Return one line with all five parts."""
        got = self.got if len(self.got) <= 160 else self.got[:157] + "..."
        got = got.encode("ascii", "backslashreplace").decode()
        got = "".join(c if c.isprintable() else repr(c)[1:-1] for c in got)
        return (
            f"{self.file}: {self.field}: expected {self.expected}, got {got}. "
            f"{self.remedy}"
        )


def default_scale(image: np.ndarray) -> float:
    """Return what 1.0 means in images of this dtype: 255 for uint8, else 1."""
    return 255.0 if image.dtype == np.uint8 else 1.0


def checked_dtype(dtype: np.dtype, file: object, field: str) -> np.dtype:
    """Return the dtype in which images stored as `dtype` are kept.

    bool, uint8 and float32 stay; every other integer type holds counts and becomes
    int32. float64 and float16 are refused: rounding is for the owner of the data.

    Raises:
      DataError: for any other dtype.
    """
    if dtype.kind == "b" or dtype == np.uint8:
        return np.dtype(dtype.type)
    if dtype.kind == "f" and dtype.itemsize == 4:
        return np.dtype(np.float32)
    if dtype.kind in "iu":
        return np.dtype(np.int32)
    if dtype.kind == "f":
        remedy = "Save array.astype(np.float32)."
    else:
        remedy = "Save a plain numeric array, not objects, text or records."
    expected = "bool, uint8, float32 or integer counts"
    raise DataError(file, field, expected, f"dtype {dtype}", remedy)


def checked_shape(shape: tuple[int, ...], file: object, field: str) -> None:
    """Raise `DataError` unless `shape` is [N, *event] with nothing empty."""
    if len(shape) < 2 or min(shape) < 1:
        raise DataError(
            file,
            field,
            "shape [N, *event] with at least one image and one value in each",
            f"shape {shape}",
            "Save at least one image, with the images along the first axis.",
        )


def checked_images(image: np.ndarray, file: object, field: str) -> np.ndarray:
    """Return images [N, *event] in the dtype they are kept in, in C order.

    Raises:
      DataError: for an empty or one-dimensional array, a dtype that is not kept, a
        NaN or an infinity, bools other than 0 and 1, and counts outside int32.
    """
    checked_shape(image.shape, file, field)
    dtype = checked_dtype(image.dtype, file, field)
    if dtype == np.float32 and not np.isfinite(image).all():
        num_bad = int(image.size - np.isfinite(image).sum())
        got = f"{num_bad} values that are NaN or infinite"
        remedy = "Remove or replace these values."
        raise DataError(file, field, "finite values", got, remedy)
    if dtype == np.bool_ and np.ascontiguousarray(image).view(np.uint8).max() > 1:
        got = "bytes above 1 in an array of type bool"
        raise DataError(file, field, "bools 0 and 1", got, "Save it again with numpy.")
    if dtype == np.int32:
        checked_range(image, 0, file, field, "counts")
    return np.ascontiguousarray(image, dtype)


def checked_labels(
    label: np.ndarray, num_images: int, file: object, field: str
) -> np.ndarray:
    """Return labels [num_images] as int32, -1 where unknown.

    Raises:
      DataError: for another length, a dtype that is not an integer's, or a label
        below -1 or beyond int32.
    """
    expected = f"{num_images} integers, one per image"
    if label.dtype.kind not in "iu":
        remedy = "Save the class of each image as an integer."
        raise DataError(file, field, expected, f"dtype {label.dtype}", remedy)
    if label.shape != (num_images,):
        remedy = "Give one label per image, in the order of the images."
        raise DataError(file, field, expected, f"shape {label.shape}", remedy)
    checked_range(label, -1, file, field, "labels")
    return np.ascontiguousarray(label, np.int32)


def checked_range(
    array: np.ndarray, lowest: int, file: object, field: str, what: str
) -> None:
    """Raise `DataError` unless every value is in [lowest, 2^31 - 1]."""
    low, high = int(array.min()), int(array.max())
    if low < lowest or high > np.iinfo(np.int32).max:
        raise DataError(
            file,
            field,
            f"{what} from {lowest} to {np.iinfo(np.int32).max}",
            f"values from {low} to {high}",
            "Correct the values, or save another integer array.",
        )


def take(split: Split, index: np.ndarray | slice) -> Split:
    """Return the images and labels at `index`, as in `array[index]`."""
    return Split(
        split.image[index], None if split.label is None else split.label[index]
    )


def hold_out(
    split: Split, fraction: float, seed: int, name: str
) -> tuple[Split, Split]:
    """Split off round(fraction * N) images, at least one unless `fraction` is 0.

    Which images is a function of (N, fraction, seed) alone: the smallest of N raw
    outputs of PCG64(seed), a stream that NumPy keeps from release to release. Both
    parts keep the order of the file.

    Args:
      split: all images.
      fraction: the share to hold out, in [0, 1).
      seed: a non-negative integer.
      name: what to call the data in an error.

    Returns:
      The images that remain, and those held out.

    Raises:
      DataError: if `fraction` is outside [0, 1) or no image would remain.
    """
    num_images = len(split.image)
    if not 0 <= fraction < 1:
        remedy = "Hold out less than everything, or 0 for no validation images."
        raise DataError(
            name, "validation_fraction", "a number in [0, 1)", str(fraction), remedy
        )
    num_held = max(1, round(fraction * num_images)) if fraction > 0 else 0
    if num_held >= num_images:
        got = f"{num_held} held out of {num_images}"
        remedy = "Set the validation fraction to 0 or add images."
        raise DataError(
            name, "validation_fraction", "images left to train on", got, remedy
        )
    order = np.argsort(np.random.PCG64(seed).random_raw(num_images), kind="stable")
    held = np.zeros(num_images, bool)
    held[order[:num_held]] = True
    return take(split, ~held), take(split, held)


def sha256(split: Split) -> str:
    """Return the SHA-256 (hexadecimal) of images and labels: dtype, shape, bytes.

    Two splits have the same hash exactly if they hold the same arrays in the same
    order; a split without labels differs from every split with some.
    """
    digest = hashlib.sha256()
    for array in split:
        if array is None:
            digest.update(b"none;")
            continue
        little = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
        digest.update(f"{little.dtype.str}{little.shape};".encode())
        digest.update(little.data)
    return digest.hexdigest()


def num_bytes(shape: tuple[int, ...], dtype: np.dtype) -> int:
    """Return the size of an array in bytes, without overflow."""
    return math.prod(shape) * dtype.itemsize
