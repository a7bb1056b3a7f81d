"""tensorflow-datasets, imported when needed and kept quiet."""

import contextlib
import importlib
import io
from collections.abc import Iterator
from typing import Any

from vaejax.data.dataset import DataError


def quiet_tfds(name: str, module: str) -> Any:
    """Import `module`, which needs tensorflow-datasets, without its progress bars."""
    try:
        import tensorflow_datasets as tfds

        tfds.disable_progress_bar()
        return importlib.import_module(module)
    except ImportError as error:
        remedy = "Install tensorflow-datasets and array_record."
        raise DataError(
            name, "source", "tensorflow-datasets", str(error), remedy
        ) from error


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keep what tfds prints away from stdout, which belongs to the caller."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield
