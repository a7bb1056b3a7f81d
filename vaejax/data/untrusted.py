"""Reading bytes that somebody else wrote: never more than promised, never past a cap.

Memory grows with what really arrives, so a header that lies costs nothing and a
compression bomb is left after the first byte too many.
"""

import os
from io import BufferedReader
from pathlib import Path
from typing import Protocol

from vaejax.data.dataset import DataError

MAX_BYTES = 4 * 2**30  # of one array, decompressed
MAX_NDIM = 8
CHUNK = 2**20


class Readable(Protocol):
    """Anything with `read(n)`."""

    def read(self, n: int, /) -> bytes:
        """Return at most n bytes, none at the end."""


def home(path: str) -> Path:
    """Return the path with a leading ~ replaced, unless there is no such user."""
    return Path(os.path.expanduser(path))


def open_file(path: Path, remedy: str) -> BufferedReader:
    """Open a regular file for reading.

    Args:
      path: the file.
      remedy: what to do when there is no such file.

    Raises:
      DataError: if it is missing, unreadable, empty, a folder or a device.
    """
    try:
        if path.exists() and not path.is_file():  # opening a pipe would block
            got = "a folder" if path.is_dir() else "neither file nor folder"
            raise DataError(path, "file", "a regular file", got, remedy)
        file = path.open("rb")
    except FileNotFoundError:
        raise DataError(path, "file", "a file", "nothing there", remedy) from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = getattr(error, "strerror", None) or str(error)
        remedy = "Check the path and its permissions."
        raise DataError(path, "file", "a readable file", reason, remedy) from None
    if os.fstat(file.fileno()).st_size == 0:
        file.close()
        remedy = "Copy or download the file again."
        raise DataError(path, "file", "a file with content", "0 bytes", remedy)
    return file


def check_size(promised: int, file: object, field: str) -> None:
    """Raise `DataError` if an array of `promised` bytes is over the cap."""
    if promised > MAX_BYTES:
        raise DataError(
            file,
            field,
            f"at most {MAX_BYTES:,} bytes in one array",
            f"a header that promises {promised:,}",
            "Check that the file is what it should be, or split it.",
        )


def read_exactly(
    stream: Readable, promised: int, file: object, field: str
) -> bytearray:
    """Read the rest of `stream`, which must be `promised` bytes long.

    Args:
      stream: a stream positioned after the header; it may decompress.
      promised: the number of bytes that the header promises, already below the cap.
      file: the file, for the error.
      field: the part of it, for the error.

    Raises:
      DataError: if the stream is shorter or longer; at most one byte more than
        promised is ever read.
    """
    content = bytearray()
    while len(content) <= promised:
        chunk = stream.read(min(CHUNK, promised + 1 - len(content)))
        if not chunk:
            break
        content += chunk
    if len(content) != promised:
        got = "more" if len(content) > promised else f"{len(content):,}"
        remedy = "The file is damaged or its header wrong: copy or save it again."
        raise DataError(
            file, field, f"{promised:,} bytes as the header promises", got, remedy
        )
    return content
