"""The named sets, prepared once by tensorflow-datasets and kept in a cache.

A prepared set lies in a folder whose name ends in a hash of its sources, so other
source files mean another folder. It is written under a temporary name and renamed when
complete: of two processes that prepare at once, the second discards its own copy.
"""

import contextlib
import hashlib
import importlib.metadata
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vaejax.data.dataset import DataError, Split, checked_images, checked_labels
from vaejax.data.idx import find
from vaejax.data.quiet import quiet_tfds, silence
from vaejax.data.untrusted import home, open_file

SPLITS = ("train", "validation", "test")


class Named(NamedTuple):
    """A data set with a name of its own and fixed splits."""

    builder: str  # class in builders.py
    scale: float
    folder: str | None  # where its idx files are looked for by default
    remedy: str = ""  # how to get the files


FILES = ("train-images", "train-labels", "t10k-images", "t10k-labels")
NAMED = {
    "digits": Named("VaejaxDigits", 16.0, None),
    "mnist": Named(
        "VaejaxIdx", 255.0, None, "Give data_dir, a folder with the four idx files."
    ),
    "fashion_mnist": Named(
        "VaejaxIdx",
        255.0,
        "/usr/share/datasets/fashion-mnist",
        "Install Debian's dataset-fashion-mnist, or give data_dir, a folder with the "
        "four idx files.",
    ),
}


def load_named(
    name: str, data_dir: str | None, cache_dir: str | None
) -> tuple[Split, Split, Split]:
    """Return train, validation and test of a named set, preparing it when needed.

    Args:
      name: a key of `NAMED`.
      data_dir: the folder of its idx files; not used by `digits`.
      cache_dir: where prepared sets are kept; default $VAEJAX_CACHE, else
        ~/.cache/vaejax.

    Raises:
      DataError: if the source files or the prepared ones cannot be used.
    """
    named = NAMED[name]
    manual_dir = None
    if named.builder == "VaejaxIdx":
        manual_dir = source_folder(name, data_dir)
        key = hash_files(manual_dir)
    else:
        key = hash_version("scikit-learn", name)
    cache = cache_dir or os.environ.get("VAEJAX_CACHE") or "~/.cache/vaejax"
    builders = quiet_tfds(name, "vaejax.data.builders")
    make = getattr(builders, named.builder)
    folder = home(cache) / f"{name}-{make.VERSION}-{key[:16]}"
    if not folder.exists():
        prepare(make, folder, manual_dir)
    try:
        with silence():
            builder = make(data_dir=folder, file_format="array_record")
            train, validation, test = (read_records(builder, s) for s in SPLITS)
            return train, validation, test
    except Exception as error:  # tfds and array_record raise all sorts
        expected, remedy = "a complete prepared set", f"Delete {folder}."
        raise DataError(folder, name, expected, repr(error), remedy) from error


def source_folder(name: str, data_dir: str | None) -> Path:
    """Return the folder with the idx files of a named set."""
    named = NAMED[name]
    folder = home(data_dir or named.folder or "")
    if not (data_dir or named.folder) or not folder.is_dir():
        got = f"no folder {folder}" if data_dir or named.folder else "none given"
        raise DataError(name, "data_dir", "a folder of idx files", got, named.remedy)
    return folder


def hash_files(folder: Path) -> str:
    """Return the SHA-256 over the four idx files, names and contents."""
    digest = hashlib.sha256()
    for start in FILES:
        path = find(folder, start)
        if path is None:
            remedy = "Add it, or load the folder as idx:FOLDER."
            raise DataError(folder, start, f"a file {start}*", "none", remedy)
        with open_file(path, "Add the file.") as file:
            content = hashlib.file_digest(file, "sha256").digest()
        digest.update(start.encode() + content)
    return digest.hexdigest()


def hash_version(package: str, name: str) -> str:
    """Return a hash of the installed version of `package`, the source of a set."""
    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        remedy = f"Install {package}."
        raise DataError(name, "source", package, "not installed", remedy) from None
    return hashlib.sha256(f"{package} {version}".encode()).hexdigest()


def prepare(make: Callable[..., Any], folder: Path, manual_dir: Path | None) -> None:
    """Prepare a set in `folder`, which appears when it is complete.

    Raises:
      DataError: if the folder cannot be written or the sources cannot be used.
    """
    import tensorflow_datasets as tfds

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".preparing-", dir=folder.parent))
    except (OSError, ValueError) as error:
        got, remedy = str(error), "Set $VAEJAX_CACHE or cache_dir to another folder."
        raise DataError(folder.parent, "cache", "a folder", got, remedy) from None
    try:
        with silence():
            make(data_dir=draft, file_format="array_record").download_and_prepare(
                download_dir=draft / "downloads",
                download_config=tfds.download.DownloadConfig(manual_dir=manual_dir),
            )
        shutil.rmtree(draft / "downloads", ignore_errors=True)
        os.chmod(draft, 0o755)
        with contextlib.suppress(OSError):  # another process was first
            draft.rename(folder)
    except DataError:
        raise
    except Exception as error:  # tfds and array_record raise all sorts
        got, remedy = repr(error), "Check the space left, or set $VAEJAX_CACHE."
        raise DataError(folder, "cache", "a prepared set", got, remedy) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def read_records(builder: Any, name: str) -> Split:
    """Read a split that `builders.py` wrote."""
    source = builder.as_data_source(split=name)
    read = source.__getitems__(list(range(len(source))))
    image = np.concatenate([record["image"] for record in read])
    label = np.concatenate([record["label"] for record in read])
    image = checked_images(image, name, "image")
    return Split(image, checked_labels(label, len(image), name, "label"))
