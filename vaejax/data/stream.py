"""Data that need not fit on the device: grain reads the batches of coming steps ahead.

Element s of the pipeline is the batch of step s, in the order of `train_epoch`, so the
state of its iterator is the step and a run resumes at any.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vaejax.base import Key, X
from vaejax.batch import batch_size as num_rows
from vaejax.batch import share
from vaejax.epoch import epoch_order


class Source(NamedTuple):
    """Examples that are read by their rows; `take` may be called by many threads."""

    num_examples: int
    take: Callable[[np.ndarray], X]  # rows [b] -> a pytree of host arrays [b, ...]


def from_arrays(data: X) -> Source:
    """Return host arrays `[N, ...]`, or files mapped to memory, as a source."""
    return Source(
        num_rows(data), lambda rows: jax.tree.map(lambda leaf: leaf[rows], data)
    )


def batches(
    source: Source,
    key: Key,
    batch_size: int,
    *,
    num_ahead: int = 16,
    num_threads: int = 4,
    process_index: int = 0,
    process_count: int = 1,
) -> Any:
    """Return a grain iterator over the batches of all epochs, without an end.

    The order is that of `train_epoch` for a state with the same key. Its state is
    `{"next_index": step}`; `set_state` continues at any step.

    Args:
      source: where the rows are read.
      key: the key of the `TrainState`.
      batch_size: examples per step, over all processes.
      num_ahead: how many batches are read ahead at most.
      num_threads: how many batches are read at once.
      process_index: which contiguous share of every batch is read.
      process_count: how many shares there are.

    Returns:
      An iterator of pytrees of host arrays `[batch_size / process_count, ...]`.

    Raises:
      ValueError: if there are fewer examples than one batch, the processes do not
        divide a batch, or a count is not positive.
      ImportError: if grain is not installed.
    """
    counts = {"batch_size": batch_size, "num_ahead": num_ahead}
    for name, count in (counts | {"num_threads": num_threads}).items():
        if count < 1:
            raise ValueError(f"{name} must be at least 1, got {count}.")
    if not 0 <= process_index < process_count:
        raise ValueError(
            f"process_index must be from 0 to process_count - 1 = {process_count - 1}, "
            f"got {process_index}."
        )
    num_local = share(batch_size, process_count)
    epoch_steps = source.num_examples // batch_size
    if epoch_steps < 1:
        raise ValueError(
            f"An epoch needs at least one batch: got {source.num_examples} examples "
            f"and batch_size {batch_size}; lower batch_size or add data."
        )
    try:
        import grain
    except ImportError as error:
        remedy = "Streaming needs grain: pip install 'vaejax[grain]'."
        raise ImportError(remedy) from error
    key = own(key)  # the state, and its key, may be donated

    @functools.lru_cache(maxsize=2)  # this epoch's and the next's
    def order(epoch: int) -> np.ndarray:
        return np.asarray(epoch_order(key, epoch, source.num_examples, batch_size))

    def read(step: int) -> X:
        epoch, place = divmod(int(step), epoch_steps)
        first = place * batch_size + process_index * num_local
        return source.take(order(epoch)[first : first + num_local])

    steps = grain.MapDataset.range(np.iinfo(np.int32).max)  # as far as a state counts
    options = grain.ReadOptions(num_threads, prefetch_buffer_size=num_ahead)
    return iter(steps.map(read).to_iter_dataset(options))


def own(key: Key) -> Key:
    """Return a copy of a key that outlives the donation of its state."""
    data = jnp.array(np.asarray(jax.random.key_data(key)))
    return jax.random.wrap_key_data(data, impl=jax.random.key_impl(key))
