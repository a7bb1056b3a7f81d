"""Parameters in one safetensors file, which any framework reads and nobody trusts.

The file is 8 bytes of length, a JSON header of names, types, shapes and places, and the
numbers. The header is read by our own strict reader and held against the parameters
that are wanted before the numbers are touched.
"""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import ml_dtypes
import numpy as np

from vaejax.base import Params
from vaejax.data.dataset import DataError
from vaejax.data.untrusted import check_size, open_file, read_exactly

MAX_HEADER = 2**20  # bytes; thousands of leaves fit
METADATA = "__metadata__"
DTYPES = {
    "BOOL": np.dtype(bool),
    **{f"{c}{8 * n}": np.dtype(f"{c.lower()}{n}") for c in "IU" for n in (1, 2, 4, 8)},
    **{f"F{8 * n}": np.dtype(f"f{n}") for n in (2, 4, 8)},
    "BF16": np.dtype(ml_dtypes.bfloat16),
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
AGAIN = "Copy the file again, or write it again with export_params."


def export_params(
    path: str | Path, params: Params, metadata: Mapping[str, str] | None = None
) -> None:
    """Writes parameters as safetensors; the file is there whole or not at all.

    Args:
      path: the file.
      params: a pytree of arrays; a leaf is named by its path with slashes, as in
        `vaejax.checkpoint.params_sha256`.
      metadata: words to keep in the header.

    Raises:
      ValueError: if two leaves have one name, a leaf is no array of numbers, or the
        header would pass 1 MiB.
    """
    from safetensors.numpy import save

    leaves: dict[str, np.ndarray] = {}
    for name, leaf in named_leaves(params):
        dtype = getattr(leaf, "dtype", type(leaf).__name__)
        numbers = isinstance(dtype, np.dtype) and dtype in NAMES
        if name in leaves or name == METADATA or not numbers:
            raise ValueError(
                f"{name!r}: expected an array of numbers of a name of its own, got "
                f"dtype {dtype}{', twice' if name in leaves else ''}. Rename it, "
                "or convert it first."
            )
        array = np.asarray(leaf).copy(order="C")  # a scalar stays an array
        leaves[name] = array
    content = save(leaves, dict(metadata) if metadata else None)
    if int.from_bytes(content[:8], "little") > MAX_HEADER:
        raise ValueError(f"The header would pass {MAX_HEADER:,} bytes: less metadata.")
    write_bytes(Path(path), content)


def import_params(path: str | Path, params_like: Params) -> Params:
    """Reads parameters that `export_params` wrote, or somebody else.

    Args:
      path: the file, not trusted.
      params_like: what is expected: a pytree of arrays, or of `jax.ShapeDtypeStruct`
        such as `jax.eval_shape(model.init, key, x)`.

    Returns:
      The same pytree of NumPy arrays, of the same bits.

    Raises:
      DataError: if the file is damaged, or lacks a leaf, has one too many, or has one
        of another shape or dtype; nothing is cast.
    """
    from safetensors import deserialize

    want = dict(named_leaves(params_like))
    expected = {name: (tuple(t.shape), np.dtype(t.dtype)) for name, t in want.items()}
    num_data = sum(_num_bytes(*known) for known in expected.values())
    check_size(num_data, path, "data")
    path = Path(path)
    with open_file(path, "Give a safetensors file that exists.") as file:
        size, start = os.fstat(file.fileno()).st_size, file.read(8)
        length = int.from_bytes(start, "little")
        if len(start) < 8 or length > min(MAX_HEADER, size - 8):
            most = f"8 bytes that promise at most {MAX_HEADER:,} that are there"
            got = f"{length:,} in a file of {size:,}"
            raise DataError(path, "header length", most, got, AGAIN)
        header = file.read(length)
        _check(_parsed(header, path), expected, path)
        data = read_exactly(file, num_data, path, "data")
    found = dict(deserialize(start + header + bytes(data)))
    leaves = [
        np.frombuffer(found[name]["data"], dtype).reshape(shape).copy()
        for name, (shape, dtype) in expected.items()
    ]
    return jax.tree.unflatten(jax.tree.structure(params_like), leaves)


def named_leaves(tree: Any) -> list[tuple[str, Any]]:
    """The leaves in JAX's order, each with its path, slashes between."""
    return [
        (
            "/".join(
                str(getattr(p, "name", getattr(p, "key", getattr(p, "idx", p))))
                for p in path
            ),
            leaf,
        )
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    ]


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file that is there whole or not at all, even after a power cut."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _num_bytes(shape: tuple[int, ...], dtype: np.dtype) -> int:
    return math.prod(shape) * dtype.itemsize


def _parsed(header: bytes, path: Path) -> dict[str, Any]:
    """A JSON object without repeated names, NaN or metadata that is not words."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a name that occurs twice")
        return dict(pairs)

    def refuse(constant: str) -> Any:
        raise ValueError(f"the number {constant}")

    try:
        text = header.decode("utf-8")
        value = json.loads(text, object_pairs_hook=once, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        expected = "a JSON object with every name once"
        raise DataError(path, "header", expected, str(error), AGAIN) from None
    if not text.startswith("{"):
        raise DataError(path, "header", "a JSON object", repr(text[:40]), AGAIN)
    words = value.pop(METADATA, {})
    if not isinstance(words, dict) or not all(
        isinstance(word, str) for word in words.values()
    ):
        raise DataError(path, METADATA, "words by name", repr(words), AGAIN)
    return value


def _check(
    header: dict[str, Any],
    expected: dict[str, tuple[tuple[int, ...], np.dtype]],
    path: Path,
) -> None:
    """Holds the header against the leaves that are wanted, and against itself."""
    for name in sorted(header.keys() | expected.keys()):
        if name not in header or name not in expected:
            want = "no such leaf" if name in header else "a leaf of this name"
            got = "one" if name in header else "none"
            remedy = "Build the model that was saved."
            raise DataError(path, ascii(name), want, got, remedy)
        shape, dtype = expected[name]
        entry, remedy = header[name], "Build the model that was saved; nothing is cast."
        want = f"{NAMES.get(dtype, dtype)} of shape {list(shape)}"
        if not isinstance(entry, dict) or set(entry) != {
            "dtype",
            "shape",
            "data_offsets",
        }:
            fields = "dtype, shape and data_offsets"
            raise DataError(path, name, fields, ascii(entry), AGAIN)
        own = entry["shape"]
        if not _integers(own) or entry["dtype"] != NAMES.get(dtype) or own != [*shape]:
            got = f"{entry['dtype']!a} of shape {own!a}"
            raise DataError(path, name, want, got, remedy)
        offsets = entry["data_offsets"]
        if not _integers(offsets) or len(offsets) != 2:
            raise DataError(path, name, "two offsets", ascii(offsets), AGAIN)
    end = 0
    for name in sorted(header, key=lambda name: header[name]["data_offsets"]):
        begin, stop = header[name]["data_offsets"]
        num = _num_bytes(*expected[name])
        if (begin, stop) != (end, end + num):
            want = f"offsets [{end}, {end + num}], without gap or overlap"
            raise DataError(path, name, want, f"[{begin}, {stop}]", AGAIN)
        end = stop


def _integers(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and n >= 0 for n in value)
