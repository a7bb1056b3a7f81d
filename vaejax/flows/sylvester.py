"""The Sylvester flow: many planar units at once."""

import math

import jax
import jax.numpy as jnp

from vaejax.base import Key, Params, split
from vaejax.flows.amortized import SMALL, amortized
from vaejax.flows.flow import Flow

TOP = math.sqrt(1 - 1e-3)  # of |diagonal|: no slope is below 0.001


def sylvester(*, num_ortho: int = 8) -> Flow:
    r"""Vectors moved in M orthogonal directions, by triangular maps of these.

    .. math:: z' = z + Q R \tanh(\tilde R Q^T z + b), \quad
              \log|\det| = \sum_i \log(1 + (1 - \tanh^2_i) R_{ii} \tilde R_{ii})

    The M columns of Q are orthonormal: the first of :math:`H_1 \cdots H_M`, where
    :math:`H_i = I - 2 v_i v_i^T / |v_i|^2` is a Householder reflection. They reach
    every such Q but for the sign of a column, for which R and b make up. R and
    :math:`\tilde R` are upper triangular; their diagonals are tanhs, scaled so that
    :math:`R_{ii} \tilde R_{ii} \ge -0.999`, and the map is invertible. R = 0 is the
    identity, M = 1 a planar flow whose u is a multiple of w. It runs forward only. With
    a context, v, R, :math:`\tilde R` and b are an affine map of it.

    Args:
      num_ortho: M; in D < M dimensions it is D.

    Returns:
      A `Flow` without `inverse`.

    Raises:
      ValueError: if `num_ortho` is less than 1.

    References:
      van den Berg et al., 2018, https://arxiv.org/abs/1803.05649.
    """
    if num_ortho < 1:
        raise ValueError(f"num_ortho must be at least 1, got {num_ortho}.")

    def initial(key: Key, dim: int) -> Params:
        num = min(num_ortho, dim)
        v_key, r_key, inner_key = split(key, 3)
        inner = jax.random.normal(inner_key, (num, num)) / math.sqrt(num)
        return {
            "v": jax.random.normal(v_key, (num, dim)),
            "r": SMALL * jax.random.normal(r_key, (num, num)),
            "inner": inner,
            "b": jnp.zeros(num),
        }

    def forward(params: Params, z: jax.Array) -> tuple[jax.Array, jax.Array]:
        v, r, inner = params["v"], params["r"], params["inner"]
        num = v.shape[-2]
        short = (v**2).sum(-1, keepdims=True) < 1e-12  # too short to be divided by
        v = jnp.where(short, jnp.eye(num, v.shape[-1], dtype=v.dtype), v)
        v = v * jax.lax.rsqrt((v**2).sum(-1, keepdims=True))
        for i in range(num):  # z in the coordinates of Q
            z = _reflect(v[..., i, :], z)
        r_diag, inner_diag = (TOP * jnp.tanh(_diagonal(m)) for m in (r, inner))
        head = z[..., :num]
        h = jnp.tanh(_triangular(inner, inner_diag, head) + params["b"])
        log_det = jnp.log1p((1 - h**2) * r_diag * inner_diag).sum(-1)
        move = _triangular(r, r_diag, h)
        z = jnp.concatenate([head + move, z[..., num:]], axis=-1)
        for i in reversed(range(num)):
            z = _reflect(v[..., i, :], z)
        return z, log_det

    return amortized(initial, forward)


def _reflect(v: jax.Array, z: jax.Array) -> jax.Array:
    return z - 2 * (v * z).sum(-1, keepdims=True) * v


def _diagonal(matrix: jax.Array) -> jax.Array:
    return jnp.diagonal(matrix, axis1=-2, axis2=-1)


def _triangular(matrix: jax.Array, diagonal: jax.Array, z: jax.Array) -> jax.Array:
    """An upper triangular matrix, its diagonal given apart, times z `[..., M]`."""
    return (jnp.triu(matrix, 1) * z[..., None, :]).sum(-1) + diagonal * z
