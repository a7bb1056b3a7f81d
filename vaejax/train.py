"""Train state and step: pure functions; no device, no file, no clock.

Randomness is a pure function of (key, step, position in the global batch), and the
order of the data of (key, epoch): the key in the state never changes, so a run that
was stopped and resumed is bit-identical to one that was not.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from vaejax import moving_average
from vaejax.base import ConditionalModel, Key, Metrics, Model, Objective, Params, X
from vaejax.batch import batch_size as num_examples
from vaejax.batch import example_keys
from vaejax.microbatches import mean_gradient

PURPOSES = NOISE, ORDER, PREPARE = range(3)  # what a key is for


class TrainState(NamedTuple):
    """Everything a run needs to resume exactly where it stopped."""

    step: jax.Array  # `[]` int32, steps made, the skipped ones too
    params: Params  # of the model, and under "objective" of an objective that learns
    opt_state: optax.OptState
    key: Key  # never split: each purpose and step folds its own
    skipped: jax.Array  # `[]` int32, steps in a row up to here that changed nothing;
    # in `train_epoch`, bool: steps on trial, one of which was not finite


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
    which term it was. (`train_epoch` takes steps on trial, with a bool for `skipped`:
    the step is then taken whatever it is, the bool says whether one was not finite,
    and the epoch takes them back.)

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
    # A barrier, lest squares that an optimizer needs too be written out for both.
    norm = optax.tree.norm(jax.lax.optimization_barrier(seen))
    finite = jnp.isfinite(metrics["loss"]) & jnp.isfinite(norm)

    def update() -> tuple[Params, optax.OptState]:
        updates, new = optimizer.update(seen, state.opt_state, state.params)
        updates = moving_average.route(updates, grads)
        return optax.apply_updates(state.params, updates), new

    if state.skipped.dtype == bool:  # whoever put it on trial may take it back
        params, opt_state = update()
        skipped = state.skipped | ~finite
    else:  # a branch: on a CPU, a select takes another tenth of a step of an MLP
        params, opt_state = jax.lax.cond(
            finite, update, lambda: (state.params, state.opt_state)
        )
        skipped = jnp.where(finite, 0, state.skipped + 1)
    new = TrainState(state.step + 1, params, opt_state, state.key, skipped)
    return new, objective.summary(metrics) | {"gradient_norm": norm}


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
