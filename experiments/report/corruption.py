"""Two kinds of noise at four levels, for images in [0, 1]."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vaejax.base import Key, split


class Kind(NamedTuple):
    """A kind of noise: what it is called, what its level is, and the four levels."""

    name: str
    slug: str  # for names of files
    level: str
    levels: tuple[float, ...]


GAUSSIAN = Kind(
    "Gaussian noise", "gaussian", "standard deviation", (0.1, 0.2, 0.4, 0.8)
)
SALT_AND_PEPPER = Kind(
    "Salt-and-pepper noise", "salt_and_pepper", "share of pixels", (0.05, 0.1, 0.2, 0.4)
)
KINDS = (GAUSSIAN, SALT_AND_PEPPER)
NUM_COPIES = 8


def gaussian(key: Key, x: jax.Array, level: jax.Array | float) -> jax.Array:
    """Adds N(0, level^2) to every value and clips to [0, 1]."""
    return jnp.clip(x + level * jax.random.normal(key, x.shape), 0, 1)


def salt_and_pepper(key: Key, x: jax.Array, level: jax.Array | float) -> jax.Array:
    """Replaces each value, with probability `level`, by 0 or 1 at equal odds."""
    u = jax.random.uniform(key, x.shape)
    return jnp.where(u < level / 2, 0.0, jnp.where(u < level, 1.0, x))


def mixture(key: Key, x: jax.Array) -> jax.Array:
    """What the denoising models are trained on: any kind at any level, equally often.

    Args:
      key: `[B]`, one for each example.
      x: `[B, *event]` in [0, 1].
    """

    def one(key: Key, x: jax.Array) -> jax.Array:
        kind_key, level_key, noise_key = split(key, 3)
        which = jax.random.randint(level_key, (), 0, len(GAUSSIAN.levels))
        is_gaussian = jax.random.bernoulli(kind_key)
        noise_keys = split(noise_key)
        return jnp.where(
            is_gaussian,
            gaussian(noise_keys[0], x, jnp.asarray(GAUSSIAN.levels)[which]),
            salt_and_pepper(
                noise_keys[1], x, jnp.asarray(SALT_AND_PEPPER.levels)[which]
            ),
        )

    return jax.vmap(one)(key, x)


@jax.jit
def copies(key: Key, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Eight corrupted copies at every level: `[levels, 8, N, *event]` of each kind."""

    def every(key: Key, noise, levels):  # type: ignore[no-untyped-def]
        keys = jax.random.split(key, (len(levels), NUM_COPIES))
        copy = jax.vmap(noise, (0, None, None))
        return jax.vmap(copy, (0, None, 0))(keys, x, jnp.asarray(levels))

    first, second = split(key)
    return (
        every(first, gaussian, GAUSSIAN.levels),
        every(second, salt_and_pepper, SALT_AND_PEPPER.levels),
    )


def psnr(image: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio in dB, the peak 1: `[..., N, *event] -> [..., N]`."""
    axes = tuple(range(image.ndim - truth.ndim + 1, image.ndim))
    error = np.mean((image - truth) ** 2, axis=axes)
    return -10 * np.log10(np.maximum(error, 1e-10))
