"""The logistic distribution, rounded to the grey levels of an image."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from vaejax.base import Distribution, Key
from vaejax.distributions.noise import noise, sum_event
from vaejax.distributions.softplus import softplus


def log_mass(
    value: jax.Array, loc: jax.Array, scale: jax.Array, num_levels: int
) -> jax.Array:
    r"""Log mass of a level: of the logistic between its half-way neighbours.

    With the standardised ends :math:`a > b` of the level's bin,

    .. math:: \log(\sigma(a) - \sigma(b))
        = \log \sigma(a) + \log \sigma(-b) + \log(1 - e^{-(a - b)})

    has no cancellation, and a - b = 1 / ((L - 1) scale) is known. The bin of the first
    level has no lower end and that of the last no upper one. Neighbours share the very
    number where they meet, so that in float32 too the masses sum to 1.

    Args:
      value: taken for the nearest level.
      loc: broadcasts against `value`.
      scale: positive, broadcasts against `value`.
      num_levels: L, at least 2.
    """
    last = num_levels - 1
    level = jnp.round(value * last)
    a = ((level + 0.5) / last - loc) / scale
    b = ((level - 0.5) / last - loc) / scale
    below_a, above_b = -softplus(-a), -softplus(b)
    width = jnp.log(-jnp.expm1(-1 / (last * scale)))
    inner = below_a + above_b + width
    return jnp.where(level <= 0, below_a, jnp.where(level >= last, above_b, inner))


def nearest_level(x: jax.Array, num_levels: int) -> jax.Array:
    """The level that x is in the bin of."""
    last = num_levels - 1
    return jnp.clip(jnp.round(x * last), 0, last) / last


def mean_level(loc: jax.Array, scale: jax.Array, num_levels: int) -> jax.Array:
    r"""The expectation :math:`\sum_{k=1}^{L-1} P(x \ge k / (L - 1)) / (L - 1)`."""
    last = num_levels - 1

    def add(k: jax.Array, total: jax.Array) -> jax.Array:
        return total + jax.nn.sigmoid((loc - (k - 0.5) / last) / scale)

    zero = jnp.zeros(jnp.broadcast_shapes(loc.shape, scale.shape), loc.dtype)
    return jax.lax.fori_loop(1, num_levels, add, zero) / last


@struct.dataclass
class DiscretizedLogistic(Distribution):
    r"""Levels k / (L - 1), k = 0, ..., L - 1: a logistic, rounded to the nearest.

    .. math:: p(x) = \sigma\left(\frac{x + h - \text{loc}}{\text{scale}}\right)
        - \sigma\left(\frac{x - h - \text{loc}}{\text{scale}}\right),
        \quad h = \frac{1}{2 (L - 1)}

    and all that lies below the first level or above the last one counts as that level.

    Attributes:
      loc: centre of the logistic, `[*batch_shape, *event_shape]`.
      scale: its scale, positive, broadcasts against `loc`.
      num_levels: L.
      event_ndims: how many trailing axes `log_prob` sums; 0 gives the unsummed terms.
    """

    support: ClassVar[str] = "levels"

    loc: jax.Array
    scale: jax.Array
    num_levels: int = struct.field(pytree_node=False)
    event_ndims: int = struct.field(pytree_node=False, default=1)

    def num_values(self) -> int:
        """L."""
        return self.num_levels

    def sample(self, key: Key, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draws levels; not differentiable."""
        shape = jnp.broadcast_shapes(jnp.shape(self.loc), jnp.shape(self.scale))
        eps = noise(jax.random.logistic, key, sample_shape, shape, self.event_ndims)
        return nearest_level(self.loc + self.scale * eps, self.num_levels)

    def log_prob(self, value: jax.Array) -> jax.Array:
        """Log mass in nats, `[..., *batch_shape]`; see `log_mass`."""
        terms = log_mass(value, self.loc, self.scale, self.num_levels)
        return sum_event(terms, self.event_ndims)

    def mean(self) -> jax.Array:
        """The expectation, `[*batch_shape, *event_shape]`."""
        return mean_level(self.loc, self.scale, self.num_levels)

    def mode(self) -> jax.Array:
        """The likeliest of the level nearest to loc and, for a wide scale, the ends."""
        inside = nearest_level(self.loc, self.num_levels)
        ends = jnp.zeros_like(inside), jnp.ones_like(inside)
        candidates = jnp.stack([inside, *ends])  # [3, *batch_shape, *event_shape]
        terms = log_mass(candidates, self.loc, self.scale, self.num_levels)
        best = jnp.argmax(terms, axis=0)[None]
        return jnp.take_along_axis(candidates, best, axis=0)[0]
