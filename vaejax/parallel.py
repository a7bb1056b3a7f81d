"""One step or epoch on many devices: the only file that names them."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from vaejax.base import Metrics, X
from vaejax.batch import AXIS, Tree, share
from vaejax.train import TrainState


def parallelize(
    step: Callable[..., tuple[TrainState, Metrics]],
    mesh: Mesh,
    mode: Literal["pmap", "jit"] = "pmap",
    *,
    min_shard_size: int | None = None,
) -> Callable[..., tuple[TrainState, Metrics]]:
    """Compiles a step or an epoch for all devices of a mesh, with one-device results.

    The state is whole on every device, or split as `min_shard_size` says, and donated.
    A positional batch is split over the devices along its leading axis; keyword
    arguments are whole on every device (the `data` and `num_steps` of an epoch, which
    takes its own rows of each batch).

    `"pmap"` gives each device its rows and averages the gradients; `"jit"` compiles the
    global program and lets the compiler partition it. In both the noise is bit-equal
    to that on one device, and results differ by the order of a sum over the batch.

    The mesh may hold the devices of several processes (`jax.distributed`). All of them
    then make the same calls, with the same arguments; a batch may also be an array that
    already lies over the devices, of which each process has made its rows.

    Args:
      step: `(state, x) -> (state, metrics)` or `(state, *, data, num_steps)`, such as a
        partial `train_step` or `train_epoch`.
      mesh: its devices, in any shape.
      mode: which of JAX's two ways.
      min_shard_size: in `"jit"`, every array of the state (parameters and optimizer)
        with at least so many elements is split over the devices, along the longest
        axis that they divide; the compiler gathers it where it is used. Default: all
        are whole.

    Returns:
      A compiled function with the signature of `step`. Keep what it returns and feed
      it back: a state that is already in place is not copied. On CPU devices, wait for
      a step before the next (`jax.block_until_ready`).

    Raises:
      ValueError: if `mode` is neither, `min_shard_size` is less than 1 or given with
        `"pmap"`, or when called with a batch that the devices do not divide.

    References:
      The data-parallel step of https://arxiv.org/abs/1706.02677, section 3; the split
      state of https://arxiv.org/abs/1910.02054, section 5.
    """
    if mode not in ("pmap", "jit"):
        raise ValueError(f"mode must be 'pmap' or 'jit', got {mode!r}.")
    if min_shard_size is not None and (mode == "pmap" or min_shard_size < 1):
        raise ValueError(
            "min_shard_size is for mode 'jit' and at least 1, got "
            f"{min_shard_size} with {mode!r}."
        )
    mesh = _line(mesh)
    rows = NamedSharding(mesh, PartitionSpec(AXIS))

    def compute(state: TrainState, batches: Any, kwargs: dict[str, X]) -> Any:
        return step(state, *batches, **kwargs)

    compiled = _pmapped(compute, mesh) if mode == "pmap" else _jitted(compute, mesh)

    def split(leaf: Any) -> jax.Array:
        share(len(leaf), mesh.size)
        return _put(leaf, rows)

    def call(state: TrainState, *batches: X, **kwargs: X) -> tuple[TrainState, Metrics]:
        batches = jax.tree.map(split, batches)
        state = shard(state, mesh, min_shard_size)
        return compiled(state, batches, replicate(kwargs, mesh))

    return call


Compute = Callable[[TrainState, Any, dict[str, X]], tuple[TrainState, Metrics]]


def _jitted(compute: Compute, mesh: Mesh) -> Compute:
    """The global program, its state laid out afterwards as it was before."""

    @functools.cache
    def compiled(structure: Any, shardings: tuple[NamedSharding, ...]) -> Compute:
        after = jax.tree.unflatten(structure, shardings), _whole(mesh)
        return jax.jit(compute, out_shardings=after, donate_argnums=0)

    def call(state: TrainState, batches: Any, kwargs: dict[str, X]) -> Any:
        leaves, structure = jax.tree.flatten(state)
        shardings = tuple(leaf.sharding for leaf in leaves)
        with jax.set_mesh(mesh):  # where `batch.spread` finds it
            return compiled(structure, shardings)(state, batches, kwargs)

    return call


def _pmapped(compute: Compute, mesh: Mesh) -> Compute:
    """The program of one device, mapped over all; it sees arrays of this process."""
    rows, whole = PartitionSpec(AXIS), PartitionSpec()
    mapped = jax.pmap(
        lambda state, mapped, kwargs: compute(state, mapped[0], kwargs),
        axis_name=AXIS,
        in_axes=(None, 0, None),
        out_axes=None,
        devices=list(mesh.devices),
        donate_argnums=0,
    )
    places = _put(np.arange(mesh.size), NamedSharding(mesh, rows))  # pmap must map one

    def own(tree: Tree, spec: PartitionSpec) -> Tree:
        if jax.process_count() == 1:
            return tree
        return multihost_utils.global_array_to_host_local_array(tree, mesh, spec)

    def by_device(leaf: jax.Array) -> jax.Array:
        num = len(mesh.local_devices)
        return leaf.reshape(num, len(leaf) // num, *leaf.shape[1:])

    def call(state: TrainState, batches: Any, kwargs: dict[str, X]) -> Any:
        state, kwargs = own((state, kwargs), whole)
        batches, ours = own((batches, places), rows)
        new = mapped(state, (jax.tree.map(by_device, batches), ours), kwargs)
        if jax.process_count() == 1:
            return new
        return multihost_utils.host_local_array_to_global_array(new, mesh, whole)

    return call


def map_rows(function: Callable[[Any, X], Tree], mesh: Mesh) -> Callable[..., Tree]:
    """Compiles an evaluation, image by image, for all devices of a mesh.

    Each device is given its rows, and keys by place in the whole (`example_keys`), so
    the noise is bit-equal to that on one device. Of a function of `(params, x)` that
    calls `evaluate.log_likelihood`, the estimates are `map_rows(f, mesh)(params, x)`.

    Args:
      function: `(whole, x) -> rows`, whose results all have one row for each of x, such
        as an estimate of `vaejax.evaluate` for every image. A mean over x would be that
        of a device's own rows.
      mesh: its devices, in any shape.

    Returns:
      A compiled function with the same signature, whose results lie over the devices.

    Raises:
      ValueError: when called with rows that the devices do not divide.
    """
    mesh = _line(mesh)
    rows = PartitionSpec(AXIS)
    compiled = jax.jit(
        jax.shard_map(
            function,
            mesh=mesh,
            in_specs=(PartitionSpec(), rows),
            out_specs=rows,
            check_vma=False,
        )
    )

    def call(whole: Any, x: X) -> Tree:
        for leaf in jax.tree.leaves(x):
            share(len(leaf), mesh.size)
        return compiled(replicate(whole, mesh), x)

    return call


def replicate(tree: Tree, mesh: Mesh) -> Tree:
    """Puts a whole copy of a pytree on every device of a mesh.

    `parallelize` does it to what is not yet in place; do it once to the data of an
    epoch, and the copies stay where they are. In several processes each gives the same
    tree.
    """
    return shard(tree, mesh, None)


def shard(tree: Tree, mesh: Mesh, min_shard_size: int | None) -> Tree:
    """Lays a pytree over a mesh as `parallelize` lays a state.

    Args:
      tree: the same in every process.
      mesh: its devices, in any shape.
      min_shard_size: from how many elements on an array is split; None for never.
    """
    mesh = _line(mesh)

    def one(leaf: Any) -> jax.Array:
        spec = PartitionSpec()
        shape = jnp.shape(leaf)
        if min_shard_size is not None and math.prod(shape) >= min_shard_size:
            spec = _longest(shape, mesh.size)
        return _put(leaf, NamedSharding(mesh, spec))

    return jax.tree.map(one, tree)


def _longest(shape: tuple[int, ...], num_devices: int) -> PartitionSpec:
    """Splits the longest axis that the devices divide, if there is one."""
    axes = [axis for axis, size in enumerate(shape) if size % num_devices == 0]
    if not axes:
        return PartitionSpec()
    longest = max(axes, key=lambda axis: shape[axis])
    return PartitionSpec(
        *(AXIS if axis == longest else None for axis in range(len(shape)))
    )


def _put(leaf: Any, sharding: NamedSharding) -> jax.Array:
    """Lays an array over devices, of other processes too, unless it lies there."""
    if isinstance(leaf, jax.Array) and leaf.sharding == sharding:
        return leaf
    if sharding.is_fully_addressable:
        return jax.device_put(leaf, sharding)
    if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable:
        if jnp.issubdtype(jnp.asarray(leaf).dtype, jax.dtypes.prng_key):
            data = _put(jax.random.key_data(leaf), sharding)
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
        whole = np.asarray(leaf)
        return jax.make_array_from_callback(whole.shape, sharding, lambda i: whole[i])
    return jax.jit(lambda x: x, out_shardings=sharding)(leaf)


def barrier(name: str) -> None:
    """Waits until all processes have come here; at once where there is one."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def together(tree: Tree, mesh: Mesh, axis: int = 0) -> Tree:
    """Arrays of which each process has read a part, one after the other along an axis.

    Each device holds its part; `parallelize` brings what is a keyword to all of them.
    """
    spec = PartitionSpec(*[None] * axis, AXIS)
    sharding = NamedSharding(_line(mesh), spec)
    return jax.tree.map(
        lambda leaf: jax.make_array_from_process_local_data(sharding, leaf), tree
    )


def local(tree: Tree) -> Tree:
    """This process's copy of a pytree that all processes hold, for programs of its own.

    What is split over devices is put together first, so all processes must ask.
    """

    def one(leaf: Any) -> Any:
        if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable:
            return leaf
        if not leaf.is_fully_replicated:
            whole = NamedSharding(leaf.sharding.mesh, PartitionSpec())  # type: ignore
            leaf = _put(leaf, whole)
        return leaf.addressable_data(0)

    return jax.tree.map(one, tree)


def join(coordinator: str, num_processes: int | None, process_id: int | None) -> None:
    """Makes this process one of several, which see the devices of all.

    Before anything else asks JAX for a device. Signals stay the caller's: JAX's own
    notice of preemption, which would swallow SIGTERM, is turned off.

    Args:
      coordinator: HOST:PORT of process 0, or `"auto"` for what the cluster says, where
        JAX knows it (Slurm, Open MPI, Kubernetes, Cloud TPU).
      num_processes: how many there are; `"auto"` finds out.
      process_id: which one this is, from 0.

    Raises:
      ValueError: if the numbers do not fit together.
      RuntimeError: if the others cannot be found, or JAX is in use already.
    """
    jax.config.update("jax_enable_preemption_service", False)
    if coordinator == "auto":
        jax.distributed.initialize()
        return
    if num_processes is None or process_id is None:
        raise ValueError("An address needs num_processes and process_id.")
    if not 0 <= process_id < num_processes:
        raise ValueError(
            f"process_id must be from 0 to {num_processes - 1}, got {process_id}."
        )
    jax.distributed.initialize(coordinator, num_processes, process_id)


def gathered(values: Sequence[float]) -> np.ndarray:
    """The numbers `[n]` of each process, `[num_processes, n]` in float64, everywhere.

    For what processes must decide alike though their clocks differ. All must call it.
    """
    own = np.asarray(values, np.float64)
    if jax.process_count() == 1:
        return own[None]
    as_bytes = multihost_utils.process_allgather(own.view(np.uint8))  # JAX has float32
    return np.ascontiguousarray(as_bytes).view(np.float64)


def _line(mesh: Mesh) -> Mesh:
    """The devices of a mesh of any shape along one axis, ours."""
    return Mesh(mesh.devices.flatten(), (AXIS,))


def _whole(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec())
