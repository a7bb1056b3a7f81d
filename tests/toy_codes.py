"""A model whose posteriors are given, to look at what becomes of its codes."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import vaejax
from vaejax.base import nothing
from vaejax.distributions import Normal


def given(dim: int) -> vaejax.Model:
    """Every example is its own posterior: x `[B, 2 dim]` is (loc, scale) of q(z|x)."""
    prior = Normal(jnp.zeros(dim), jnp.ones(dim))
    return vaejax.Model(
        nothing,
        lambda params, x: Normal(x[:, :dim], x[:, dim:]),
        lambda params, z: Normal(jnp.concatenate([z, z], axis=-1), jnp.ones(())),
        lambda params: prior,
    )


def posteriors(num: int, dim: int, seed: int = 0) -> np.ndarray:
    """Correlated locs and small scales, as one array for `given`: `[num, 2 dim]`."""
    rng = np.random.default_rng(seed)
    mix = np.eye(dim) + np.tril(rng.uniform(0.3, 1, size=(dim, dim)), -1)
    loc = rng.normal(size=(num, dim)) @ mix.T
    scale = np.exp(0.3 * rng.normal(size=(num, dim)) - 1.2)
    return np.concatenate([loc, scale], axis=1).astype(np.float32)


def draws(x: Any, keys: jax.Array) -> np.ndarray:
    """The codes that `given` draws for x from these keys, `[B, dim]`, in float64."""
    z = (
        given(x.shape[-1] // 2)
        .encode({}, jnp.asarray(x))
        .sample(jax.random.clone(keys))
    )
    return np.asarray(z, np.float64)
