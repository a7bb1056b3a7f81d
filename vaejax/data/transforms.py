"""From stored values to what a model sees, on the device, with explicit keys.

All four take `(key, x, *, scale)` and return float32 of the shape of x. `key` is one
typed key, or one per example: an array [B] for x `[B, *event]`. With a key per example
the noise of an example depends on its own key only, not on its place in the batch or
on the device that holds it.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

BELOW_ONE = np.nextafter(np.float32(1), np.float32(0))


def unit_interval(
    key: jax.Array | None, x: jax.typing.ArrayLike, *, scale: float
) -> jax.Array:
    """Return x / scale.

    Args:
      key: ignored.
      x: stored values, of any shape and dtype.
      scale: the value that means 1.0, `Dataset.scale`.

    Returns:
      float32 of the shape of x.
    """
    del key
    return jnp.asarray(x, jnp.float32) / scale


def threshold(
    key: jax.Array | None, x: jax.typing.ArrayLike, *, scale: float
) -> jax.Array:
    """Return 1 where x / scale > 0.5, else 0.

    Args:
      key: ignored.
      x: stored values, of any shape and dtype.
      scale: the value that means 1.0, `Dataset.scale`.

    Returns:
      float32 zeros and ones of the shape of x.
    """
    return (unit_interval(key, x, scale=scale) > 0.5).astype(jnp.float32)


def binarize(key: jax.Array, x: jax.typing.ArrayLike, *, scale: float) -> jax.Array:
    """Draw 1 with probability x / scale for each value: dynamic binarisation.

    Args:
      key: a typed key, or an array [B] of them for x `[B, *event]`.
      x: stored values from 0 to scale.
      scale: the value that means 1.0, `Dataset.scale`.

    Returns:
      float32 zeros and ones of the shape of x.

    References:
      Salakhutdinov and Murray, 2008, On the quantitative analysis of deep belief
      networks: an image's intensities are probabilities.
    """

    def draw(key: jax.Array, probability: jax.Array) -> jax.Array:
        return jax.random.bernoulli(key, probability).astype(jnp.float32)

    return per_example(draw, key, unit_interval(None, x, scale=scale))


def dequantize(key: jax.Array, x: jax.typing.ArrayLike, *, scale: float) -> jax.Array:
    """Return (x + u) / (scale + 1), u uniform on [0, 1): uniform dequantisation.

    The expected log-density of the result, minus log(scale + 1) per dimension, is a
    lower bound on the log-probability of the integers x. Where float32 would round up
    to 1, the largest float32 below 1 is returned.

    Args:
      key: a typed key, or an array [B] of them for x `[B, *event]`.
      x: integers from 0 to scale.
      scale: the largest integer, `Dataset.scale`.

    Returns:
      float32 in [0, 1) of the shape of x.

    References:
      Theis et al., 2016, https://arxiv.org/abs/1511.01844, section 3.1.
    """

    def draw(key: jax.Array, x: jax.Array) -> jax.Array:
        u = jax.random.uniform(key, x.shape)
        return jnp.minimum((x + u) / (scale + 1), BELOW_ONE)

    return per_example(draw, key, jnp.asarray(x, jnp.float32))


def per_example(
    draw: Callable[[jax.Array, jax.Array], jax.Array], key: jax.Array, x: jax.Array
) -> jax.Array:
    """Return draw(key, x), example by example if there is a key for each."""
    return draw(key, x) if key.ndim == 0 else jax.vmap(draw)(key, x)
