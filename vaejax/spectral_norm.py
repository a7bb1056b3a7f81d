"""The spectral norm of a matrix."""

from typing import Any

import jax
import jax.numpy as jnp

from vaejax.base import Key

NUM_ITERATIONS = 10  # of the power method


def spectral_norm(key: Key, matrix: jax.Array) -> jax.Array:
    """The largest singular value by the power method, its gradient exact at the limit.

    From below: it starts from a random direction, and after ten iterations a random
    matrix of 400 x 784 is judged 3% too small.
    """
    fixed = jax.lax.stop_gradient(matrix)

    def unit(vector: jax.Array) -> jax.Array:
        return vector / jnp.maximum(jnp.linalg.norm(vector), 1e-12)

    def body(_: Any, right: jax.Array) -> jax.Array:
        return unit(fixed.T @ (fixed @ right))

    start = unit(jax.random.normal(key, matrix.shape[1:]))
    right = jax.lax.fori_loop(0, NUM_ITERATIONS, body, start)
    return unit(fixed @ right) @ matrix @ right
