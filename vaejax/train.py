"""Train state, step and compiled epoch: pure functions; no device, no file, no clock.

Randomness is a pure function of (key, step, position in the global batch), and the
order of the data of (key, epoch): the key in the state never changes, so a run that
was stopped and resumed is bit-identical to one that was not.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from vaejax import moving_average, tally
from vaejax.base import ConditionalModel, Key, Metrics, Model, Objective, Params, X
from vaejax.batch import batch_size as num_examples
from vaejax.batch import example_keys, local_rows, spread
from vaejax.microbatches import mean_gradient

PURPOSES = NOISE, ORDER, PREPARE = range(3)  # what a key is for


class TrainState(NamedTuple):
    """Everything a run needs to resume exactly where it stopped."""

    step: jax.Array  # `[]` int32, steps made, the skipped ones too
    params: Params  # of the model, and under "objective" of an objective that learns
    opt_state: optax.OptState
    key: Key  # never split: each purpose and step folds its own
    skipped: jax.Array  # `[]` int32, steps in a row up to here that changed nothing


def stream(key: Key, purpose: int, index: jax.Array | int) -> Key:
    """The key for one purpose (`NOISE`, `ORDER`, `PREPARE`) at one step or epoch.

    One hash, since it is part of every step; no two (purpose, index) share a key for
    the first 1.4 billion steps.
    """
    return jax.random.fold_in(key, len(PURPOSES) * index + purpose)


def init_state(
    key: Key,
    model: Model | ConditionalModel,
    objective: Objective,
    optimizer: optax.GradientTransformation,
    x: X,
) -> TrainState:
    """Initialises parameters, optimizer and key in one compiled program.

    Args:
      key: a scalar typed key; the state keeps a part of it.
      model: any model; a batch of a `ConditionalModel` is `(x, y)`.
      objective: its parameters, if it learns, join the model's.
      optimizer: any optax transformation.
      x: an example batch `[B, ...]`; its shapes and types matter, and its values where
        a prior is initialised from data.

    Returns:
      The `TrainState` at step 0.
    """

    def init(key: Key, x: X) -> TrainState:
        model_key, objective_key, train_key = jax.random.split(key, 3)
        params = model.init(model_key, objective.visible(x))
        params |= {"objective": objective.init(objective_key, model, params, x)}
        none = jnp.zeros((), jnp.int32)
        return TrainState(none, params, optimizer.init(params), train_key, none)

    return jax.jit(init)(key, x)


def train_step(
    model: Model | ConditionalModel,
    objective: Objective,
    optimizer: optax.GradientTransformation,
    state: TrainState,
    x: X,
    *,
    num_microbatches: int = 1,
) -> tuple[TrainState, Metrics]:
    """One step of gradient descent on the mean loss of the batch; pure, not compiled.

    Apply the first three arguments, then compile:
    `jax.jit(functools.partial(train_step, model, objective, optimizer))`. For a
    schedule, build the objective (or the model) from `state.step` inside a step of
    your own that calls this one: it is traced once.

    Where the loss or the gradient is not finite, on any device, parameters and
    optimizer stay as they are on all of them; `step` goes on, so that the next one has
    other noise and data, and `skipped` counts such steps in a row. The metrics tell
    which term it was.

    Args:
      model: what is trained.
      objective: gives a loss `[B]`; this is where its mean is taken.
      optimizer: any optax transformation; moving averages pass it by.
      state: the state before the step.
      x: a batch, a pytree of arrays `[B, ...]` (a device's share of it under `pmap`).
      num_microbatches: in how many parts, one after the other, the gradient of each
        device's examples is computed, to need less memory; the step is the same.

    Returns:
      The next state, and the means `[]` over the batch of `loss` and the objective's
      metrics (of one `[B, D]` it is `[D]`), or what its summary makes of them, with
      `gradient_norm`, of what the optimizer sees; it is infinite where its square is
      beyond float32, and that is no step either.

    Raises:
      AssertionError: if the objective's loss is not `[B]`.
      ValueError: if `num_microbatches` does not divide the examples of a device, or is
        not 1 where a part of the loss looks at the whole batch.
    """
    keys = example_keys(stream(state.key, NOISE, state.step), num_examples(x))

    def mean_loss(params: Params, keys: Key, x: X) -> tuple[jax.Array, Metrics]:
        loss, metrics = objective.loss(keys, model, params, x)
        chex.assert_shape(loss, keys.shape, custom_message="a loss for each example")
        metrics = metrics | {"loss": loss}
        return jnp.mean(loss), {n: jnp.mean(m, axis=0) for n, m in metrics.items()}

    grads, metrics = mean_gradient(mean_loss, num_microbatches, state.params, keys, x)
    seen = moving_average.hide(grads)  # keeps what is not finite
    norm = optax.tree.norm(seen)
    finite = jnp.isfinite(metrics["loss"]) & jnp.isfinite(norm)

    def update() -> tuple[Params, optax.OptState]:
        updates, new = optimizer.update(seen, state.opt_state, state.params)
        updates = moving_average.route(updates, grads)
        return optax.apply_updates(state.params, updates), new

    # A branch: on a CPU, a select takes another tenth of a step of an MLP.
    params, opt_state = jax.lax.cond(
        finite, update, lambda: (state.params, state.opt_state)
    )
    skipped = jnp.where(finite, 0, state.skipped + 1)
    new = TrainState(state.step + 1, params, opt_state, state.key, skipped)
    return new, objective.summary(metrics) | {"gradient_norm": norm}


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
) -> tuple[TrainState, Metrics]:
    """Many steps as one program, over data that stays on the device.

    Apply the first two arguments, then compile, donating the state:
    `jax.jit(functools.partial(train_epoch, step, 128), donate_argnums=0)`.

    Epoch e visits the examples in an order that depends on (key, e) only, and drops
    the final short batch; the next epoch drops others. Which batch comes next follows
    from `state.step`, so an epoch may be run in segments of any lengths.

    Args:
      step: `(state, x) -> (state, metrics)`, such as a partial `train_step`.
      batch_size: examples per step, over all devices.
      state: the state before the first step.
      data: a pytree of arrays `[N, ...]` in their own dtype.
      num_steps: how many steps, at most an epoch's; may be traced, so that segments of
        every length share one program. Default: one epoch's, N // batch_size.
      prepare: `(key, x) -> x` makes a batch of rows of `data` ready for the model, such
        as `vaejax.data.binarize`; key is `[B]`, one per example.

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
        return jax.tree.map(lambda leaf: leaf[mine], data)

    return _steps(step, state, batch, num_steps, prepare)


def train_chunk(
    step: Step,
    state: TrainState,
    *,
    data: X,
    num_steps: int | jax.Array | None = None,
    prepare: Callable[[Key, X], X] = unchanged,
) -> tuple[TrainState, Metrics]:
    """Many steps as one program, over batches that were read from the host.

    Apply the first argument, then compile, donating the state; `streamed` feeds it.

    Args:
      step: `(state, x) -> (state, metrics)`, such as a partial `train_step`.
      state: the state before the first step.
      data: a pytree of arrays `[S, B, ...]`, the global batches of S steps.
      num_steps: how many of them to take; may be traced. Default: S.
      prepare: as in `train_epoch`.

    Returns:
      As `train_epoch`.
    """
    chex.assert_equal_shape_prefix(jax.tree.leaves(data), 2)
    total, batch_size = jax.tree.leaves(data)[0].shape[:2]

    def batch(i: jax.Array) -> X:
        mine = local_rows(jnp.arange(batch_size))
        return jax.tree.map(lambda leaf: leaf[i][mine], data)

    num_steps = total if num_steps is None else jnp.clip(num_steps, 0, total)
    return _steps(step, state, batch, num_steps, prepare)


def _steps(
    step: Step,
    state: TrainState,
    batch: Callable[[jax.Array], X],
    num_steps: int | jax.Array,
    prepare: Callable[[Key, X], X],
) -> tuple[TrainState, Metrics]:
    """Steps on this device's share of `batch(0)`, `batch(1)`, ..., and their tally."""

    @jax.jit  # traced once, though its output's shape is asked for first
    def one(state: TrainState, i: jax.Array) -> tuple[TrainState, Metrics]:
        x = spread(batch(i))
        keys = example_keys(stream(state.key, PREPARE, state.step), num_examples(x))
        state, metrics = step(state, prepare(keys, x))
        return state, tally.of_step(state.step, state.skipped, metrics)

    def body(i: jax.Array, carry: tuple[TrainState, Metrics]) -> Any:
        state, metrics = one(carry[0], i)
        return state, tally.added(carry[1], metrics)

    _, shapes = jax.eval_shape(one, state, jnp.int32(0))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    state, sums = jax.lax.fori_loop(0, num_steps, body, (state, zeros))
    return state, tally.means(sums)


def optimizers(
    model: optax.GradientTransformation, objective: optax.GradientTransformation
) -> optax.GradientTransformation:
    """One optimizer for the model's parameters, another for those of the objective.

    For an objective that learns, such as a discriminator. Clipping and weight decay
    belong inside each, since each sees its own parameters only.

    Args:
      model: for `params["posterior"]`, `params["prior"]` and `params["likelihood"]`.
      objective: for `params["objective"]`.
    """

    def label(params: Params) -> dict[str, str]:
        return {
            name: "objective" if name == "objective" else "model" for name in params
        }

    return optax.partition({"model": model, "objective": objective}, label)
