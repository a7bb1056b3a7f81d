"""Images and labels from an npz file, without trusting it.

An npz file is a zip archive of npy members. Each member's header is read first and
held against the cap and the archive's directory; only then are its values read.
"""

import zipfile
import zlib
from pathlib import Path
from typing import IO

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
from vaejax.data.untrusted import MAX_NDIM, check_size, open_file, read_exactly

HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
# bzip2 and LZMA may reserve memory that no cap of ours sees; NumPy writes neither.
METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
AGAIN = "Save the file again with np.savez."


def read_npz(path: Path) -> Split:
    """Read `image` (or `x`) and, if there, `label` from an npz file.

    Args:
      path: a file written by `np.savez` or `np.savez_compressed`.

    Returns:
      All images, with their labels.

    Raises:
      DataError: if the file is not what it should be in any respect.
    """
    with open_file(path, "Give an npz file that exists.") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                return read_archive(archive, path)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise DataError(
                path, "zip archive", "an intact npz file", str(error), AGAIN
            ) from None
        except (NotImplementedError, ValueError, OverflowError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(
                path, "zip archive", "a plain npz file", str(error), AGAIN
            ) from None


def read_archive(archive: zipfile.ZipFile, path: Path) -> Split:
    """Read the members that matter; others are not looked at."""
    names = [info.filename for info in archive.infolist()]
    twice = [n for n in ("image.npy", "x.npy", "label.npy") if names.count(n) > 1]
    if twice:
        field = twice[0].removesuffix(".npy")
        got = f"{names.count(twice[0])} of them"
        raise DataError(path, field, "one member of this name", got, AGAIN)
    fields = [field for field in ("image", "x") if f"{field}.npy" in names]
    if len(fields) != 1:
        got = "both" if fields else "only " + repr(names[:8]) if names else "nothing"
        remedy = "Save it as np.savez(file, image=images, label=labels)."
        raise DataError(path, "image", "a member `image` or a member `x`", got, remedy)
    field = fields[0]
    image = checked_images(read_member(archive, field, path), path, field)
    if "label.npy" not in names:
        return Split(image, None)
    label = read_member(archive, "label", path)
    return Split(image, checked_labels(label, len(image), path, "label"))


def read_member(archive: zipfile.ZipFile, field: str, path: Path) -> np.ndarray:
    """Read the member `field`.npy: header first, values when the header holds."""
    info = archive.getinfo(f"{field}.npy")
    if info.flag_bits & 1 or info.compress_type not in METHODS:
        got = "encryption" if info.flag_bits & 1 else f"method {info.compress_type}"
        raise DataError(path, field, "a stored or deflated member", got, AGAIN)
    try:
        with archive.open(info) as stream:
            shape, fortran, dtype, length = read_header(stream, field, path)
            promised = num_bytes(shape, dtype)
            check_size(promised, path, field)
            if length + promised != info.file_size:
                expected = f"{promised:,} bytes as shape {shape} promises"
                got = f"{info.file_size - length:,} in the archive's directory"
                raise DataError(path, field, expected, got, AGAIN)
            content = read_exactly(stream, promised, path, field)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DataError(path, field, "an intact member", str(error), AGAIN) from None
    array = np.frombuffer(content, dtype)
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)


def read_header(
    stream: IO[bytes], field: str, path: Path
) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Return shape, Fortran order, dtype and length of an npy header.

    Raises:
      DataError: if it cannot be read, or promises an array that is not taken.
    """
    try:
        version = np.lib.format.read_magic(stream)
        if version not in HEADERS:
            raise ValueError(f"npy version {version}")
        shape, fortran, dtype = HEADERS[version](stream)
    except zipfile.BadZipFile:
        raise
    except Exception as error:  # literal_eval of hostile text raises all sorts
        expected = "an npy header, version 1.0 or 2.0"
        raise DataError(path, field, expected, str(error), AGAIN) from None
    if dtype.hasobject or dtype.names is not None or dtype.subdtype is not None:
        expected, got = "a plain numeric dtype", f"dtype {dtype}"
        remedy = "Save a numeric array: objects would need pickle, which is never read."
        raise DataError(path, field, expected, got, remedy)
    if len(shape) > MAX_NDIM or any(size < 0 for size in shape):
        expected = f"at most {MAX_NDIM} sizes of at least 0"
        raise DataError(path, field, expected, f"shape {shape}", AGAIN)
    if field != "label":
        checked_dtype(dtype, path, field)
        checked_shape(shape, path, field)
    return shape, fortran, dtype, stream.tell()
