"""The VAE of `vaejax_vae`, its step written out: what the library's own step adds.

No guard against what is not finite, no counts, no metrics but the loss, and no part of
`vaejax.train` but the state it starts from.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

import vaejax
from experiments.peers.vaejax_vae import on_device, parts
from experiments.peers.worker import BATCH, serve
from vaejax.base import Params

Carry = tuple[Params, optax.OptState, jax.Array]  # and the steps made


def build(images: np.ndarray, seed: int) -> Callable[[], float]:
    """One epoch of Adam, one scan."""
    data = on_device(images)
    model, objective, optimizer = parts(images)
    start = vaejax.init_state(
        jax.random.key(seed), model, objective, optimizer, data[:BATCH]
    )
    key = jnp.copy(start.key)

    def step(data: jax.Array, carry: Carry, rows: jax.Array) -> tuple[Carry, jax.Array]:
        params, opt_state, step = carry
        keys = jax.random.split(jax.random.fold_in(key, step), BATCH)

        def mean_loss(params: Params) -> jax.Array:
            return jnp.mean(objective.loss(keys, model, params, data[rows])[0])

        loss, grads = jax.value_and_grad(mean_loss)(params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state, step + 1), loss

    @functools.partial(jax.jit, donate_argnums=0)
    def epoch(carry: Carry, data: jax.Array) -> tuple[Carry, jax.Array]:
        whole = len(data) // BATCH * BATCH
        order = jax.random.permutation(jax.random.fold_in(key, -carry[2]), len(data))
        rows = order[:whole].reshape(-1, BATCH)
        carry, losses = jax.lax.scan(functools.partial(step, data), carry, rows)
        return carry, losses.mean()

    carry = start.params, start.opt_state, start.step

    def run() -> float:
        nonlocal carry
        carry, loss = epoch(carry, data)
        return float(loss)

    return run


if __name__ == "__main__":
    serve(build)
