"""A mixture of discretised logistics for each pixel, its channels coupled."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from vaejax.base import Distribution, Key, split
from vaejax.distributions.discretized_logistic import (
    log_mass,
    mean_level,
    nearest_level,
)
from vaejax.distributions.discretized_logistic_mixture import choose, likeliest_level
from vaejax.distributions.noise import noise, sum_event


@struct.dataclass
class CoupledLogisticMixture(Distribution):
    r"""Colours whose channels are levels k / (L - 1): one of K components for a pixel.

    .. math:: p(x) = \sum_k \pi_k \prod_c p_k(x_c | x_{<c}), \quad
        \text{loc}_{kc} = \mu_{kc} + \sum_{j < c} \gamma_{kcj} (x_j - \tfrac12)

    where :math:`p_k(x_c | x_{<c})` is a discretised logistic: what is known of red
    moves the centres of green and blue, as in PixelCNN++. Unsummed terms are the log
    masses of a channel given those before it.

    Attributes:
      logits: of the weights, `[*batch_shape, H, W, K]`.
      loc: mu, `[*batch_shape, H, W, C, K]`.
      scale: positive, of the shape of `loc`.
      coupling: gamma, `[*batch_shape, H, W, C (C - 1) / 2, K]`: of channels (1, 0),
        (2, 0), (2, 1), (3, 0), ...
      num_levels: L.
      event_ndims: how many trailing axes `log_prob` sums, of the H, W, C; 0 gives the
        unsummed terms.

    References:
      Salimans et al., 2017, https://arxiv.org/abs/1701.05517.
    """

    support: ClassVar[str] = "levels"
    independent: ClassVar[bool] = False

    logits: jax.Array
    loc: jax.Array
    scale: jax.Array
    coupling: jax.Array
    num_levels: int = struct.field(pytree_node=False)
    event_ndims: int = struct.field(pytree_node=False, default=3)

    def num_values(self) -> int:
        """L."""
        return self.num_levels

    def sample(self, key: Key, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draws channel after channel; not differentiable."""
        weight_key, level_key = split(key)
        pixels, shape, ndims = self.logits.shape, self.loc.shape[:-1], self.event_ndims
        gumbel = noise(jax.random.gumbel, weight_key, sample_shape, pixels, ndims)
        eps = noise(jax.random.logistic, level_key, sample_shape, shape, ndims)
        of = choose(self.logits, gumbel)
        channels: list[jax.Array] = []
        for c in range(shape[-1]):
            loc = of(self._loc(c, [x[..., None] for x in channels]))
            x = loc + of(self.scale[..., c, :]) * eps[..., c]
            channels.append(nearest_level(x, self.num_levels))
        return jnp.stack(channels, axis=-1)

    def log_prob(self, value: jax.Array) -> jax.Array:
        """Log mass in nats, `[..., *batch_shape]`."""
        joint = [jnp.zeros(())]  # log p(x_1, ..., x_c), c = 0, 1, ..., C
        so_far = jax.nn.log_softmax(self.logits)  # and log pi_k: [..., H, W, K]
        channels = [x[..., None] for x in jnp.moveaxis(value, -1, 0)]
        for c, x in enumerate(channels):
            so_far = so_far + self._log_mass(c, x, channels[:c])
            joint.append(jax.nn.logsumexp(so_far, axis=-1))
        terms = [joint[c + 1] - joint[c] for c in range(len(channels))]
        return sum_event(jnp.stack(terms, axis=-1), self.event_ndims)

    def mean(self) -> jax.Array:
        """The expectation; of later channels approximately.

        A component's later centres are moved by the means of its earlier channels. That
        is exact where rounding to levels is linear on average: the scale wide against a
        step, and no mass cut off at 0 or 1.
        """
        means: list[jax.Array] = []
        for c in range(self.loc.shape[-2]):
            scale = self.scale[..., c, :]
            means.append(mean_level(self._loc(c, means), scale, self.num_levels))
        weights = jax.nn.softmax(self.logits)[..., None, :]
        return jnp.sum(weights * jnp.stack(means, axis=-2), axis=-1)

    def mode(self) -> jax.Array:
        """Channel after channel, the likeliest level given those before it.

        That need not be the likeliest colour, which takes L^3 looks to find.
        """
        so_far = jax.nn.log_softmax(self.logits)
        channels: list[jax.Array] = []
        for c in range(self.loc.shape[-2]):
            best = self._likeliest(so_far, c, channels)[..., None]
            so_far = so_far + self._log_mass(c, best, channels)
            channels.append(best)
        return jnp.concatenate(channels, axis=-1)

    def _likeliest(
        self, so_far: jax.Array, c: int, before: list[jax.Array]
    ) -> jax.Array:
        def terms(x: jax.Array) -> jax.Array:
            return jax.nn.logsumexp(so_far + self._log_mass(c, x, before), axis=-1)

        return likeliest_level(terms, self.num_levels)

    def _loc(self, c: int, before: list[jax.Array]) -> jax.Array:
        """Centres of channel c given those before it, `[..., K]` each or `[..., 1]`."""
        loc = self.loc[..., c, :]
        for j, x in enumerate(before):
            loc = loc + self.coupling[..., c * (c - 1) // 2 + j, :] * (x - 0.5)
        return loc

    def _log_mass(self, c: int, x: jax.Array, before: list[jax.Array]) -> jax.Array:
        loc, scale = self._loc(c, before), self.scale[..., c, :]
        return log_mass(x, loc, scale, self.num_levels)
