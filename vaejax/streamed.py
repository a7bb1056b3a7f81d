"""Training on batches from the host, with the interface of a device-resident epoch."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax.sharding import Mesh

from vaejax import tally
from vaejax.base import Metrics
from vaejax.parallel import local, together
from vaejax.train import TrainState

if TYPE_CHECKING:
    from vaejax.data.stream import Source


def streamed(
    chunk: Callable[..., tuple[TrainState, Metrics]],
    batch_size: int,
    *,
    chunk_steps: int = 16,
    mesh: Mesh | None = None,
    **reading: int,
) -> Callable[..., tuple[TrainState, Metrics]]:
    """An epoch over a `vaejax.data.Source` in place of arrays on the device.

    Batches come in the order of `train_epoch`, so that the losses are its own. While
    the device computes one chunk of steps, the next is read, stacked and placed; with
    it at most two are in flight. Nothing else waits for a step.

    Args:
      chunk: a compiled `train_chunk`: `jax.jit(..., donate_argnums=0)` or
        `parallelize(...)` of a partial one.
      batch_size: examples per step, over all devices.
      chunk_steps: how many steps one transfer serves.
      mesh: that of `parallelize`, in several processes: each then reads its own rows
        of every batch.
      **reading: `num_ahead` and `num_threads` of `vaejax.data.batches`.

    Returns:
      `(state, *, data, num_steps) -> (state, metrics)` with a `Source` for `data`,
      metrics as of `train_epoch`; 0 steps only compile. It keeps one iterator from call
      to call, and sets it to `state.step` where that is not next.

    Raises:
      ValueError: if `chunk_steps` is less than 1, `num_steps` less than 0, or there are
        several processes and no mesh.
    """
    if chunk_steps < 1:
        raise ValueError(f"chunk_steps must be at least 1, got {chunk_steps}.")
    num_processes = jax.process_count()
    if num_processes > 1 and mesh is None:
        raise ValueError("In several processes streamed needs the mesh of parallelize.")
    share_of = {"process_index": jax.process_index(), "process_count": num_processes}
    merged = jax.jit(tally.merged)
    opened: dict[Any, Any] = {}  # of one source and key at a time

    def reader(state: TrainState, source: "Source") -> Any:
        from vaejax.data.stream import batches

        name = (id(source), np.asarray(jax.random.key_data(local(state.key))).tobytes())
        if name not in opened:
            opened.clear()
            key = local(state.key)
            iterator = batches(source, key, batch_size, **share_of, **reading)
            opened[name] = source, iterator  # the source too, lest its id be another's
        iterator, step = opened[name][1], int(state.step)
        if iterator.get_state()["next_index"] != step:
            iterator.set_state(iterator.get_state() | {"next_index": step})
        return iterator

    def epoch(
        state: TrainState, *, data: "Source", num_steps: int
    ) -> tuple[TrainState, Metrics]:
        num_steps = int(num_steps)
        if num_steps < 0:
            raise ValueError(f"num_steps must not be negative, got {num_steps}.")
        iterator = reader(state, data)
        told: Metrics = {}
        before: Metrics = {}  # of the chunk before this one
        for first in range(0, max(num_steps, 1), chunk_steps):
            num = min(chunk_steps, num_steps - first)
            read = [next(iterator) for _ in range(num)]
            if not read:  # only to compile, for which the shapes are enough
                own = np.zeros(batch_size // num_processes, np.int64)
                read = [data.take(own)]
            x = stack(read, chunk_steps)
            x = jax.device_put(x) if mesh is None else together(x, mesh, axis=1)
            jax.block_until_ready(before)  # so that two chunks are in flight, not more
            before = told
            state, metrics = chunk(state, data=x, num_steps=np.int32(num))
            told = merged(told, metrics)
        return state, told

    return epoch


def stack(batches: list[Any], length: int) -> Any:
    """Batches as one array `[length, B, ...]` a leaf; what is past them is not read."""

    def one(*leaves: np.ndarray) -> np.ndarray:
        whole = np.zeros((length, *leaves[0].shape), leaves[0].dtype)
        np.stack(leaves, out=whole[: len(leaves)])
        return whole

    return jax.tree.map(one, *batches)
