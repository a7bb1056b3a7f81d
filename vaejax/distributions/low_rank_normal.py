"""The normal distribution whose covariance is a diagonal plus a few directions."""

import math
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct
from jax.scipy.linalg import solve_triangular

from vaejax.base import Distribution, Key
from vaejax.distributions.full_normal import diagonal
from vaejax.distributions.kl import kl_divergence
from vaejax.distributions.noise import noise
from vaejax.distributions.normal import Normal


@struct.dataclass
class LowRankNormal(Distribution):
    r"""A normal of covariance :math:`\mathrm{diag}(\text{scale})^2 + F F^\top`.

    R columns of F cost R times a diagonal, where a full covariance costs D times; R = D
    has room for every covariance, and F = 0 is `Normal`.

    Attributes:
      loc: mean, `[*batch_shape, D]`.
      scale: positive, `[*batch_shape, D]`.
      factor: F, `[*batch_shape, D, R]`.
    """

    event_ndims: ClassVar[int] = 1  # its terms cannot be told apart

    loc: jax.Array
    scale: jax.Array
    factor: jax.Array

    def sample(self, key: Key, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        r"""Draws :math:`\text{loc} + \text{scale}\, \epsilon + F \eta`, differentiable.

        R + D numbers of noise, where a Cholesky factor would need D.
        """
        num_dims, rank = self.factor.shape[-2:]
        shape = (*self.factor.shape[:-2], num_dims + rank)
        drawn = noise(jax.random.normal, key, sample_shape, shape, 1)
        eps, eta = drawn[..., :num_dims], drawn[..., num_dims:]
        along = jnp.einsum("...dr,...r->...d", self.factor, eta)
        return self.loc + self.scale * eps + along

    def log_prob(self, value: jax.Array) -> jax.Array:
        r"""Log density in nats, `[..., *batch_shape]`.

        With y = (x - loc) / scale, W = F / scale and :math:`M = I + W^\top W`, the
        squared distance is, by Woodbury's identity,

        .. math:: y^\top (I + W W^\top)^{-1} y = |y - W u|^2 + |u|^2,
                  \quad u = M^{-1} W^\top y,

        a sum of squares, in which nothing cancels; the determinant lemma gives the
        log-determinant as :math:`2 \sum_d \log \text{scale}_d + \log \det M`. M is
        not formed, which would square what is large: with W over I = QR it is
        :math:`R^\top R`, and :math:`u = R^{-1} Q_W^\top y`.
        """
        y = (value - self.loc) / self.scale
        whitened, q, r = self._whitened()
        gain = solve_triangular(r, jnp.swapaxes(q, -1, -2))  # M^-1 W^T
        u = jnp.einsum("...rd,...d->...r", gain, y)
        rest = y - jnp.einsum("...dr,...r->...d", whitened, u)
        terms = jnp.log(self.scale) + 0.5 * (rest**2 + math.log(2 * math.pi))
        log_det = jnp.log(jnp.abs(diagonal(r))).sum(axis=-1)  # half that of M
        return -terms.sum(axis=-1) - 0.5 * (u**2).sum(axis=-1) - log_det

    def mean(self) -> jax.Array:
        """The expectation, `[*batch_shape, D]`."""
        return self.loc

    def mode(self) -> jax.Array:
        """The mode, which is the mean."""
        return self.loc

    def tempered(self, temperature: float | jax.Array) -> "LowRankNormal":
        """The same, its deviations from the mean times `temperature`."""
        scale, factor = temperature * self.scale, temperature * self.factor
        return self.replace(scale=scale, factor=factor)

    def kl_to(self, p: Distribution) -> jax.Array | None:
        r"""KL(self || p) for a diagonal normal p, `[*batch_shape]` in nats.

        .. math:: \mathrm{KL}(N(\mu_q, \text{scale}^2) \| p)
                  + \tfrac12 |F / \sigma_p|^2 - \tfrac12 \log \det M
        """
        if not isinstance(p, Normal):
            return None
        spread = self.factor / p.scale[..., None]
        log_det = jnp.log(jnp.abs(diagonal(self._whitened()[2]))).sum(axis=-1)
        kl = kl_divergence(Normal(self.loc, self.scale), p)
        return kl + 0.5 * (spread**2).sum(axis=(-2, -1)) - log_det

    def _whitened(self) -> tuple[jax.Array, jax.Array, jax.Array]:
        """W `[.., D, R]`, the D rows of Q `[.., D, R]` above it, and R `[.., R, R]`."""
        whitened = self.factor / self.scale[..., None]
        rank = self.factor.shape[-1]
        below = jnp.broadcast_to(jnp.eye(rank), (*whitened.shape[:-2], rank, rank))
        q, r = jnp.linalg.qr(jnp.concatenate([whitened, below], axis=-2))
        return whitened, q[..., :-rank, :], r
