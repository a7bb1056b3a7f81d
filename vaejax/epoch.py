"""The compiled epoch: many steps as one program, no device, no file, no clock."""

import functools
from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from vaejax import tally, trial
from vaejax.base import Key, Metrics, X
from vaejax.batch import batch_size as num_examples
from vaejax.batch import example_keys, local_rows, spread
from vaejax.train import ORDER, PREPARE, TrainState, stream

Step = Callable[[TrainState, X], tuple[TrainState, Metrics]]


def unchanged(key: Key, x: X) -> X:
    """The `prepare` of data that the model reads as it is."""
    return x


def epoch_order(
    key: Key, epoch: jax.Array | int, total: int, batch_size: int
) -> jax.Array:
    """The rows that an epoch visits, whole batches one after the other, int32.

    A function of its arguments alone, on the device and on the host.
    """
    return _sorted(_bits(key, epoch, total), batch_size)


def _bits(key: Key, epoch: jax.Array | int, total: int) -> jax.Array:
    return jax.random.bits(stream(key, ORDER, epoch), (total,))


def _sorted(bits: jax.Array, batch_size: int) -> jax.Array:
    whole = len(bits) // batch_size * batch_size
    return jnp.argsort(bits)[:whole].astype(jnp.int32)


def train_epoch(
    step: Step,
    batch_size: int,
    state: TrainState,
    *,
    data: X,
    num_steps: int | jax.Array | None = None,
    prepare: Callable[[Key, X], X] = unchanged,
    num_on_trial: int = trial.NUM_ON_TRIAL,
) -> tuple[TrainState, Metrics]:
    """Many steps as one program, over data that stays on the device.

    Apply the first two arguments, then compile, donating the state:
    `jax.jit(functools.partial(train_epoch, step, 128), donate_argnums=0)`.

    Epoch e visits the examples in an order that depends on (key, e) only, and drops
    the final short batch; the next epoch drops others. Which batch comes next follows
    from `state.step`, so an epoch may be run in segments of any lengths.

    Args:
      step: `(state, x) -> (state, metrics)`, such as a partial `train_step`; it leaves
        `state.key` as it is. On trial `state.skipped` is a bool: a step of your own
        that counts by it, or that holds an epoch itself, needs `num_on_trial=1`.
      batch_size: examples per step, over all devices.
      state: the state before the first step.
      data: a pytree of arrays `[N, ...]` in their own dtype; NumPy's, closed over,
        become constants of the program.
      num_steps: how many steps, at most an epoch's; may be traced, so that segments of
        every length share one program. Default: one epoch's, N // batch_size.
      prepare: `(key, x) -> x` makes a batch of rows of `data` ready for the model, such
        as `vaejax.data.binarize`; key is `[B]`, one per example.
      num_on_trial: how many steps are taken before it is asked whether all were finite
        (`vaejax.trial`). 1 needs no copy of the state, and as a rule more time.

    Returns:
      The state after the last step, and the means `[]` of the metrics over the steps
      that were taken, with the counts of `vaejax.tally`.

    Raises:
      ValueError: if there are fewer examples than one batch, or `num_steps` is known
        and not from 1 to an epoch's.
    """
    chex.assert_equal_shape_prefix(jax.tree.leaves(data), 1)
    total = num_examples(data)
    epoch_steps = total // batch_size if batch_size > 0 else 0
    if epoch_steps < 1:
        raise ValueError(
            f"An epoch needs at least one batch: got {total} examples and batch_size "
            f"{batch_size}; lower batch_size or add data."
        )
    if num_steps is None:
        num_steps = epoch_steps
    elif isinstance(num_steps, jax.Array):
        num_steps = jnp.clip(num_steps, 0, epoch_steps)
    elif not 1 <= num_steps <= epoch_steps:
        raise ValueError(
            f"num_steps must be from 1 to {epoch_steps}, the steps of an epoch, "
            f"got {num_steps}."
        )
    epoch, first = jnp.divmod(state.step, epoch_steps)

    order = functools.partial(_sorted, batch_size=batch_size)
    this = order(_bits(state.key, epoch, total))
    crosses = first + num_steps > epoch_steps  # if not, one sort is enough
    following = jax.lax.cond(
        crosses, order, lambda bits: this, _bits(state.key, epoch + 1, total)
    )
    rows = jnp.concatenate([this, following]).reshape(2 * epoch_steps, batch_size)

    def batch(i: jax.Array) -> X:
        mine = local_rows(rows[first + i])
        return jax.tree.map(lambda leaf: jnp.asarray(leaf)[mine], data)

    return _taken(step, state, batch, num_steps, prepare, num_on_trial)


def train_chunk(
    step: Step,
    state: TrainState,
    *,
    data: X,
    num_steps: int | jax.Array | None = None,
    prepare: Callable[[Key, X], X] = unchanged,
    num_on_trial: int = trial.NUM_ON_TRIAL,
) -> tuple[TrainState, Metrics]:
    """Many steps as one program, over batches that were read from the host.

    Apply the first argument, then compile, donating the state; `streamed` feeds it.

    Args:
      step: as in `train_epoch`.
      state: the state before the first step.
      data: a pytree of arrays `[S, B, ...]`, the global batches of S steps.
      num_steps: how many of them to take; may be traced. Default: S.
      prepare: as in `train_epoch`.
      num_on_trial: as in `train_epoch`.

    Returns:
      As `train_epoch`.
    """
    chex.assert_equal_shape_prefix(jax.tree.leaves(data), 2)
    total, batch_size = jax.tree.leaves(data)[0].shape[:2]

    def batch(i: jax.Array) -> X:
        mine = local_rows(jnp.arange(batch_size))
        return jax.tree.map(lambda leaf: jnp.asarray(leaf)[i][mine], data)

    num_steps = total if num_steps is None else jnp.clip(num_steps, 0, total)
    return _taken(step, state, batch, num_steps, prepare, num_on_trial)


def _taken(
    step: Step,
    state: TrainState,
    batch: Callable[[jax.Array], X],
    num_steps: int | jax.Array,
    prepare: Callable[[Key, X], X],
    num_on_trial: int,
) -> tuple[TrainState, Metrics]:
    """Steps on this device's share of `batch(0)`, `batch(1)`, ..., and their tally."""

    def one(state: TrainState, i: jax.Array) -> tuple[TrainState, Metrics]:
        x = spread(batch(i))
        keys = example_keys(stream(state.key, PREPARE, state.step), num_examples(x))
        return step(state, prepare(keys, x))

    state, sums = trial.steps(one, state, num_steps, num_on_trial)
    return state, tally.means(sums)
