"""The idx format of the MNIST files: a header of big-endian sizes, then the values.

Magic number (two zero bytes, the type, the number of dimensions), one 4-byte size per
dimension, values in C order. A file may be compressed with gzip.
"""

import gzip
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vaejax.data.dataset import (
    DataError,
    Split,
    checked_images,
    checked_labels,
    num_bytes,
)
from vaejax.data.untrusted import (
    MAX_NDIM,
    Readable,
    check_size,
    open_file,
    read_exactly,
)

DTYPES: dict[int, np.dtype] = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
AGAIN = "The file is damaged or not an idx file: copy or download it again."


class Folder(NamedTuple):
    """What a folder of idx files holds."""

    train: Split
    test: Split | None


def read_idx(path: Path) -> np.ndarray:
    """Read one idx file, plain or compressed with gzip, whatever its name says.

    Args:
      path: the file.

    Returns:
      The array, big-endian as stored.

    Raises:
      DataError: if the file is missing, not idx, shorter or longer than its header
        promises, or promises more than the cap. Nothing is allocated before.
    """
    with open_file(path, "Give a folder that holds the idx files.") as file:
        compressed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        stream: Readable = gzip.GzipFile(fileobj=file) if compressed else file
        try:
            return read_array(stream, path)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(
                path, "gzip stream", "a complete gzip stream", str(error), AGAIN
            ) from None


def read_array(stream: Readable, path: Path) -> np.ndarray:
    """Read header and values of the idx file `path` from `stream`."""
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        expected = "two zero bytes, a type and a number of dimensions"
        raise DataError(path, "magic number", expected, magic.hex(" "), AGAIN)
    code, ndim = magic[2], magic[3]
    if code not in DTYPES:
        expected = "a type among " + ", ".join(f"0x{known:02X}" for known in DTYPES)
        raise DataError(path, "type", expected, f"0x{code:02X}", AGAIN)
    if not 1 <= ndim <= MAX_NDIM:
        expected = f"1 to {MAX_NDIM} dimensions"
        raise DataError(path, "number of dimensions", expected, str(ndim), AGAIN)
    sizes = stream.read(4 * ndim)
    if len(sizes) < 4 * ndim:
        expected, got = f"{ndim} sizes of 4 bytes", f"{len(sizes)} bytes"
        raise DataError(path, "sizes", expected, got, AGAIN)
    shape = struct.unpack(f">{ndim}I", sizes)
    promised = num_bytes(shape, DTYPES[code])
    check_size(promised, path, "sizes")
    content = read_exactly(stream, promised, path, "values")
    return np.frombuffer(content, DTYPES[code]).reshape(shape)


def read_folder(folder: Path) -> Folder:
    """Read `train-images`, `train-labels`, `t10k-images` and `t10k-labels`.

    The names may go on in any way, as in `train-images-idx3-ubyte.gz`. Only the
    training images are required; a plain file is preferred to its compressed twin.

    Raises:
      DataError: if the folder or its training images are missing, a name is
        ambiguous, or a file is not what it should be.
    """
    train = read_pair(folder, "train")
    if train is None:
        expected = "a file train-images-idx*-ubyte, plain or .gz"
        remedy = "Put the four idx files into this folder."
        raise DataError(folder, "train-images", expected, "none", remedy)
    test = read_pair(folder, "t10k")
    if test is not None:
        check_alike(test, train, folder, "t10k-images")
    return Folder(train, test)


def read_pair(folder: Path, part: str) -> Split | None:
    """Read images and labels of `part`, None where there are no images."""
    images, labels = find(folder, f"{part}-images"), find(folder, f"{part}-labels")
    if images is None:
        if labels is None:
            return None
        remedy = "Add the images, or remove the labels."
        raise DataError(
            folder, f"{part}-images", "images for the labels", "none", remedy
        )
    image = checked_images(read_idx(images), images, "images")
    if labels is None:
        return Split(image, None)
    label = read_idx(labels)
    return Split(image, checked_labels(label, len(image), labels, "labels"))


def find(folder: Path, start: str) -> Path | None:
    """Return the file whose name begins with `start`, if any."""
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        remedy = "Give the folder that holds the idx files."
        got = getattr(error, "strerror", None) or str(error)
        raise DataError(folder, "folder", "a readable folder", got, remedy) from None
    found = [name for name in names if name.startswith(start)]
    plain = [n for n in found if not (n.endswith(".gz") and n[:-3] in found)]
    if len(plain) > 1:
        got, remedy = ", ".join(plain), "Keep one of them."
        raise DataError(folder, start, f"one file {start}*", got, remedy)
    return folder / plain[0] if plain else None


def check_alike(split: Split, train: Split, file: object, field: str) -> None:
    """Raise `DataError` unless `split` has the dtype and event shape of `train`."""
    expected = f"{train.image.dtype} images of shape {train.image.shape[1:]}"
    got = f"{split.image.dtype} images of shape {split.image.shape[1:]}"
    if got != expected:
        remedy = "Give images of the same kind as those trained on."
        raise DataError(file, field, expected, got, remedy)
