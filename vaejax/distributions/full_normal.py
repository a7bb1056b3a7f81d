"""The normal distribution with a full covariance."""

import math
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct
from jax.scipy.linalg import solve_triangular

from vaejax.base import Distribution, Key
from vaejax.distributions.noise import noise
from vaejax.distributions.normal import Normal, kl_to_standard


@struct.dataclass
class FullNormal(Distribution):
    r"""A normal of any covariance, :math:`N(x; \text{loc}, L L^\top)`.

    A diagonal L is `Normal`.

    Attributes:
      loc: mean, `[*batch_shape, D]`.
      scale_tril: L, lower triangular with a positive diagonal, `[*batch_shape, D, D]`.
    """

    event_ndims: ClassVar[int] = 1  # its terms cannot be told apart

    loc: jax.Array
    scale_tril: jax.Array

    def sample(self, key: Key, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        r"""Draws :math:`\text{loc} + L \epsilon`: differentiable in both."""
        shape = jnp.broadcast_shapes(self.loc.shape, self.scale_tril.shape[:-1])
        eps = noise(jax.random.normal, key, sample_shape, shape, 1)
        return self.loc + jnp.einsum("...ij,...j->...i", self.scale_tril, eps)

    def log_prob(self, value: jax.Array) -> jax.Array:
        r"""Log density in nats, `[..., *batch_shape]`.

        .. math:: -\tfrac12 |L^{-1} (x - \text{loc})|^2 - \sum_i \log L_{ii}
                  - \tfrac D2 \log 2 \pi
        """
        standardized = solve(self.scale_tril, value - self.loc)
        log_scale = jnp.log(diagonal(self.scale_tril))
        terms = -0.5 * (standardized**2 + math.log(2 * math.pi)) - log_scale
        return terms.sum(axis=-1)

    def mean(self) -> jax.Array:
        """The expectation, `[*batch_shape, D]`."""
        return self.loc

    def mode(self) -> jax.Array:
        """The mode, which is the mean."""
        return self.loc

    def tempered(self, temperature: float | jax.Array) -> "FullNormal":
        """The same, its deviations from the mean times `temperature`."""
        return self.replace(scale_tril=temperature * self.scale_tril)

    def kl_to(self, p: Distribution) -> jax.Array | None:
        r"""KL(self || p) for a normal p, diagonal or full, `[*batch_shape]` in nats.

        With :math:`A = L_p^{-1} L_q`, which is lower triangular,

        .. math:: \frac12 \Big(\sum_{ij} A_{ij}^2 - D - 2 \sum_i \log A_{ii}
                  + |L_p^{-1} (\mu_q - \mu_p)|^2\Big),

        the terms of the diagonal as in `Normal.kl_to`, for its digits near q = p.
        """
        own = diagonal(self.scale_tril)
        if isinstance(p, FullNormal):
            shift, theirs = (
                solve(p.scale_tril, self.loc - p.loc),
                diagonal(p.scale_tril),
            )
            ratio = solve(p.scale_tril, jnp.moveaxis(self.scale_tril, -1, 0))
        elif isinstance(p, Normal):
            shift, theirs = (self.loc - p.loc) / p.scale, p.scale
            ratio = jnp.moveaxis(self.scale_tril, -1, 0) / p.scale
        else:
            return None
        below = jnp.tril(jnp.moveaxis(ratio, 0, -1), -1)  # of A, [*batch_shape, D, D]
        terms = kl_to_standard(shift, own / theirs)
        return terms.sum(axis=-1) + 0.5 * (below**2).sum(axis=(-2, -1))


def diagonal(matrix: jax.Array) -> jax.Array:
    """The diagonals of square matrices: `[..., D, D] -> [..., D]`."""
    return jnp.diagonal(matrix, axis1=-2, axis2=-1)


def solve(scale_tril: jax.Array, value: jax.Array) -> jax.Array:
    r"""The solution y of :math:`L y = x` for every x `[..., *batch_shape, D]`.

    One system of many right-hand sides for every L, however many x there are.
    """
    batch_ndims = scale_tril.ndim - 2
    shape = jnp.broadcast_shapes(value.shape, scale_tril.shape[:-1])
    split = len(shape) - 1 - batch_ndims
    lead, batch, dim = shape[:split], shape[split:-1], shape[-1]
    matrix = jnp.broadcast_to(scale_tril, (*batch, dim, dim))
    columns = jnp.broadcast_to(value, shape).reshape(-1, *batch, dim)
    solved = solve_triangular(matrix, jnp.moveaxis(columns, 0, -1), lower=True)
    return jnp.moveaxis(solved, -1, 0).reshape(*lead, *batch, dim)
