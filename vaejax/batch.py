"""The global batch: all that a step, an epoch or an objective knows of parallelism.

No signature carries an axis name: these functions ask JAX whether `parallelize` has
bound one. Under `pmap` a device holds rows of the batch and the axis is bound; under
`jit` (or on one device, or eagerly) the program sees the global batch.
"""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import struct
from jax.sharding import PartitionSpec

from vaejax.base import Key, X

Tree = TypeVar("Tree")  # a pytree of arrays; a distribution is one

AXIS = "batch"  # bound by `parallelize` and `on_each_device` alone
_in_part = contextvars.ContextVar("in a part of the batch", default=False)


@struct.dataclass
class Shared:
    """What all examples have in common, such as the parameters of a distribution.

    A distribution that carries some wraps them, so that `global_batch` leaves them as
    they are: they have no row for each example.
    """

    tree: Any


def _index() -> jax.Array | None:
    """This device's place on the bound axis, or None where none is bound."""
    try:
        return jax.lax.axis_index(AXIS)
    except NameError:
        return None


@contextlib.contextmanager
def part_of_batch() -> Iterator[None]:
    """What is traced inside sees some of a device's examples, and may ask for no more.

    `global_batch`, `global_mean` and `global_key` then raise a ValueError.
    """
    token = _in_part.set(True)
    try:
        yield
    finally:
        _in_part.reset(token)


def _needs_whole_batch() -> None:
    if _in_part.get():
        raise ValueError(
            "A part of this loss looks at the whole batch, as divergences of codes, "
            "free bits, capacity and optimal scales do, and a micro-batch is not the "
            "whole: use num_microbatches=1, or another objective or likelihood."
        )


def batch_size(x: X) -> int:
    """The number of examples in a pytree of arrays `[B, ...]`."""
    return jax.tree.leaves(x)[0].shape[0]


def is_single(x: X) -> bool:
    """Whether the global batch is a single example, of which nothing varies."""
    num_devices = 1 if _index() is None else jax.lax.axis_size(AXIS)
    return batch_size(x) * num_devices == 1 and not _in_part.get()


def global_batch(tree: Tree) -> Tree:
    """All examples of the global batch: every leaf `[b, ...] -> [B, ...]`.

    What is `Shared` stays as it is.
    """
    _needs_whole_batch()
    if _index() is None:
        return tree

    def gather(leaf: Any) -> Any:
        if isinstance(leaf, Shared):
            return leaf
        return jax.lax.all_gather(leaf, AXIS, tiled=True)

    return jax.tree.map(gather, tree, is_leaf=lambda leaf: isinstance(leaf, Shared))


def global_mean(tree: Tree) -> Tree:
    """Mean over devices of what is already a mean over the local batch."""
    _needs_whole_batch()
    return tree if _index() is None else jax.lax.pmean(tree, AXIS)


def global_key(key: Key) -> Key:
    """One key that all devices share, that of the first of all examples: `[b] -> []`.

    For noise that examples have in common, such as a direction to project them on.
    """
    _needs_whole_batch()
    if key.ndim == 0:
        return key
    first = global_batch(jax.random.key_data(key))[0]
    return jax.random.wrap_key_data(first, impl=jax.random.key_impl(key))


def example_keys(key: Key, num_local: int) -> Key:
    """One key per example, from its index in the global batch: `[b]`."""
    index = _index()
    first = 0 if index is None else index * num_local
    return jax.vmap(jax.random.fold_in, (None, 0))(key, first + jnp.arange(num_local))


def share(num_rows: int, num_devices: int) -> int:
    """How many rows of a global batch are each device's.

    Raises:
      ValueError: if the devices do not divide the batch.
    """
    if num_rows % num_devices:
        raise ValueError(
            f"A batch of {num_rows} examples cannot be split over {num_devices} "
            "devices: choose a multiple."
        )
    return num_rows // num_devices


def local_rows(rows: jax.Array) -> jax.Array:
    """This device's share `[b]` of the indices `[B]` of a global batch.

    Raises:
      ValueError: if the devices do not divide the batch.
    """
    index = _index()
    if index is None:
        return rows
    num_local = share(rows.shape[0], jax.lax.axis_size(AXIS))
    return jax.lax.dynamic_slice_in_dim(rows, index * num_local, num_local)


def spread(x: X) -> X:
    """Asks the compiler to lay a global batch over the devices of `parallelize`.

    Raises:
      ValueError: if the devices do not divide the batch.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if AXIS not in mesh.axis_names or _index() is not None:
        return x
    share(batch_size(x), mesh.shape[AXIS])
    return jax.lax.with_sharding_constraint(x, PartitionSpec(AXIS))


def on_each_device(function: Callable[..., Tree]) -> Callable[..., Tree]:
    """Binds the axis where the compiler alone would divide the work: under `jit`.

    Args:
      function: `(whole, *rows) -> whole`, such as a `global_mean` of something.

    Returns:
      The same; under `jit` on several devices each is given its rows, as under `pmap`.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if AXIS not in mesh.axis_names or _index() is not None:
        return function

    def call(whole: Any, *rows: X) -> Tree:
        share(batch_size(rows), mesh.shape[AXIS])
        specs = PartitionSpec(), *(PartitionSpec(AXIS) for _ in rows)
        return jax.shard_map(
            function, in_specs=specs, out_specs=PartitionSpec(), check_vma=False
        )(whole, *rows)

    return call
