"""What samplers are, what they are fitted to, and how."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from vaejax.base import Distribution, Key, Model, Objective, Params, X
from vaejax.batch import batch_size as num_examples
from vaejax.batch import example_keys
from vaejax.epoch import train_epoch
from vaejax.models import unconditional
from vaejax.train import init_state, train_step

# `(key, model, params, x)` to a law of z; x `[N, ...]` is ready for the encoder.
Sampler = Callable[[Key, Model, Params, X], Distribution]

LEAST = 1e-6  # of a standard deviation of the codes
CHUNK = 256  # examples that are encoded at once


@functools.partial(jax.jit, static_argnames="model")
def codes(key: Key, model: Model, params: Params, x: X) -> jax.Array:
    """One code z ~ q(z|x) for every example, `[N, D]`.

    Draws, and not means: their law is the aggregated posterior, which is what the
    decoder was trained on.

    Raises:
      TypeError: if the latents are not one array, as in a hierarchy, or the model waits
        for a condition.
    """
    model = unconditional(model, "A post-hoc sampler")

    def one(pair: tuple[X, Key]) -> jax.Array:
        example, key = pair
        batch = jax.tree.map(lambda leaf: leaf[None], example)
        return jax.tree.map(
            lambda leaf: leaf[0], model.encode(params, batch).sample(key[None])
        )

    keys = example_keys(key, num_examples(x))
    z = jax.lax.map(one, (x, keys), batch_size=CHUNK)
    if not isinstance(z, jax.Array):
        raise TypeError(
            "A post-hoc sampler needs codes that are one array for each example, and "
            f"this model has {jax.tree.structure(z)}: use samplers.prior()."
        )
    return z


def moments(z: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The mean and the standard deviation of codes `[N, D]`: each `[D]`."""
    return z.mean(axis=0), jnp.maximum(z.std(axis=0), LEAST)


def fit(
    key: Key,
    model: Model,
    objective: Objective,
    z: jax.Array,
    *,
    num_steps: int,
    batch_size: int,
    learning_rate: float,
) -> Params:
    """Trains a model of codes `[N, D]` by Adam, its rate decayed to 0 by a cosine.

    Raises:
      ValueError: if the last step was not finite, so not taken.
    """
    schedule = optax.cosine_decay_schedule(learning_rate, num_steps)
    optimizer, batch_size = optax.adam(schedule), min(batch_size, len(z))
    state = init_state(key, model, objective, optimizer, z[:batch_size])
    step = functools.partial(train_step, model, objective, optimizer)
    epoch = jax.jit(functools.partial(train_epoch, step, batch_size), donate_argnums=0)
    for first in range(0, num_steps, len(z) // batch_size):
        num = min(len(z) // batch_size, num_steps - first)
        state, _ = epoch(state, data=z, num_steps=jnp.int32(num))
    if not isinstance(state.skipped, jax.core.Tracer) and state.skipped > 0:
        raise ValueError(
            f"The last {state.skipped} of {num_steps} steps were not finite: lower "
            "learning_rate, or look at the codes."
        )
    return state.params
