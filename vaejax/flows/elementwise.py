"""Increasing maps of single coordinates, told by numbers that a network gives."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

LOG_BOUND = 3.0  # of |log scale| in one flow: a scale from 0.05 to 20

# (numbers `[..., P]`, z `[...]`) to where z goes and the log slope there, each `[...]`.
ElementMap = Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]


class Elementwise(NamedTuple):
    """An increasing map of each coordinate and its inverse, the identity at zeros."""

    num_params: int  # P
    forward: ElementMap
    inverse: ElementMap


def soft_bound(raw: jax.Array, bound: float) -> jax.Array:
    r""":math:`b \tanh(r / b)`: the identity near 0, never beyond the bound."""
    return bound * jnp.tanh(raw / bound)


def affine() -> Elementwise:
    r""":math:`z' = \mu + e^\alpha z`, with :math:`|\alpha| < 3`."""

    def numbers(params: jax.Array) -> tuple[jax.Array, jax.Array]:
        return params[..., 0], soft_bound(params[..., 1], LOG_BOUND)

    def forward(params: jax.Array, z: jax.Array) -> tuple[jax.Array, jax.Array]:
        shift, log_scale = numbers(params)
        return shift + jnp.exp(log_scale) * z, log_scale

    def inverse(params: jax.Array, z: jax.Array) -> tuple[jax.Array, jax.Array]:
        shift, log_scale = numbers(params)
        return jnp.exp(-log_scale) * (z - shift), -log_scale

    return Elementwise(2, forward, inverse)
