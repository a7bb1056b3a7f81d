"""One step or epoch on many devices: the only file that names them."""

import contextlib
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from vaejax.base import Metrics, X
from vaejax.batch import AXIS, Tree, share
from vaejax.train import TrainState


def parallelize(
    step: Callable[..., tuple[TrainState, Metrics]],
    mesh: Mesh,
    mode: Literal["pmap", "jit"] = "pmap",
) -> Callable[..., tuple[TrainState, Metrics]]:
    """Compiles a step or an epoch for all devices of a mesh, with one-device results.

    The state is whole on every device and donated. A positional batch is split over
    the devices along its leading axis; keyword arguments are whole on every device
    (the `data` and `num_steps` of an epoch, which takes its own rows of each batch).

    `"pmap"` gives each device its rows and averages the gradients; `"jit"` compiles the
    global program and lets the compiler partition it. In both the noise is bit-equal
    to that on one device, and results differ by the order of a sum over the batch.

    Args:
      step: `(state, x) -> (state, metrics)` or `(state, *, data, num_steps)`, such as a
        partial `train_step` or `train_epoch`.
      mesh: its devices, in any shape.
      mode: which of JAX's two ways.

    Returns:
      A compiled function with the signature of `step`. Keep what it returns and feed
      it back: a state that is already in place is not copied. On CPU devices, wait for
      a step before the next (`jax.block_until_ready`).

    Raises:
      ValueError: if `mode` is neither, or when called with a batch that the devices do
        not divide.

    References:
      The data-parallel step of https://arxiv.org/abs/1706.02677, section 3.
    """
    if mode not in ("pmap", "jit"):
        raise ValueError(f"mode must be 'pmap' or 'jit', got {mode!r}.")
    mesh = _line(mesh)
    rows = NamedSharding(mesh, PartitionSpec(AXIS))
    places = jax.device_put(jnp.arange(mesh.size), rows)  # pmap must map something

    def compute(state: TrainState, mapped: Any, kwargs: dict[str, X]) -> Any:
        batches, _ = mapped
        return step(state, *batches, **kwargs)

    compiled: Callable[..., Any]
    if mode == "pmap":
        compiled = jax.pmap(
            compute,
            axis_name=AXIS,
            in_axes=(None, 0, None),
            out_axes=None,
            devices=list(mesh.devices),
            donate_argnums=0,
        )
    else:
        compiled = jax.jit(compute, out_shardings=_whole(mesh), donate_argnums=0)

    def split(leaf: jax.Array) -> jax.Array:
        num_local = share(len(leaf), mesh.size)
        if mode == "pmap":  # a leading axis of devices
            leaf = leaf.reshape(mesh.size, num_local, *leaf.shape[1:])
        return jax.device_put(leaf, rows)

    def call(state: TrainState, *batches: X, **kwargs: X) -> tuple[TrainState, Metrics]:
        batches = jax.tree.map(split, batches)
        state, kwargs = replicate((state, kwargs), mesh)
        # Under jit, `batch.spread` finds the mesh here; under pmap the axis is bound.
        with jax.set_mesh(mesh) if mode == "jit" else contextlib.nullcontext():
            return compiled(state, (batches, places), kwargs)

    return call


def replicate(tree: Tree, mesh: Mesh) -> Tree:
    """Puts a whole copy of a pytree on every device of a mesh.

    `parallelize` does it to what is not yet in place; do it once to the data of an
    epoch, and the copies stay where they are.
    """
    return jax.device_put(tree, _whole(_line(mesh)))


def _line(mesh: Mesh) -> Mesh:
    """The devices of a mesh of any shape along one axis, ours."""
    return Mesh(mesh.devices.flatten(), (AXIS,))


def _whole(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec())
