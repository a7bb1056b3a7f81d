"""The planar flow."""

import math

import jax
import jax.numpy as jnp

from vaejax.base import Key, Params, split
from vaejax.flows.amortized import SMALL, amortized
from vaejax.flows.flow import Flow

MIN_SLOPE = 1e-3  # no map of this file or of `radial` is flatter anywhere
RAW_ONE = math.log(math.expm1(1 - MIN_SLOPE))


def planar() -> Flow:
    r"""Vectors moved along one direction, by how far they are along another.

    .. math:: z' = z + \hat u \tanh(w^T z + b), \quad
              \log|\det| = \log(1 + (1 - \tanh^2(w^T z + b))\, w^T \hat u)

    It is invertible where :math:`w^T \hat u > -1`, which
    :math:`\hat u = u + (m(w^T u) - w^T u)\, w / |w|^2` sees to with any m > -1. Here
    :math:`m(a) = \text{softplus}(a + a_0) - 0.999`, with m(0) = 0: unlike the paper's,
    u = 0 is the identity, and the slope along w is never below 0.001. It runs forward
    only. With a context, u, w and b are an affine map of it.

    Returns:
      A `Flow` without `inverse`.

    References:
      Rezende and Mohamed, 2015, https://arxiv.org/abs/1505.05770, equations 10 and 12,
      appendix A.1.
    """

    def initial(key: Key, dim: int) -> Params:
        u_key, w_key = split(key)
        return {
            "u": SMALL * jax.random.normal(u_key, (dim,)),
            "w": jax.random.normal(w_key, (dim,)) / math.sqrt(dim),
            "b": jnp.zeros(()),
        }

    def forward(params: Params, z: jax.Array) -> tuple[jax.Array, jax.Array]:
        u, w, b = params["u"], params["w"], params["b"]
        wu, ww = (w * u).sum(-1, keepdims=True), (w * w).sum(-1, keepdims=True)
        slope = positive(wu)  # 1 + w . u-hat
        u_hat = u + (slope - 1 - wu) * w / jnp.maximum(ww, 1e-12)
        h = jnp.tanh((w * z).sum(-1) + b)
        # 1 + (1 - h^2)(slope - 1), without a difference of like numbers.
        log_det = jnp.log(h**2 + (1 - h**2) * slope[..., 0])
        return z + u_hat * h[..., None], log_det

    return amortized(initial, forward)


def positive(raw: jax.Array) -> jax.Array:
    """At least 0.001, and 1 at 0: softplus, moved."""
    return MIN_SLOPE + jax.nn.softplus(raw + RAW_ONE)
