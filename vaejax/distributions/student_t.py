"""Student's t distribution."""

import math

import jax
import jax.numpy as jnp
from flax import struct
from jax.scipy.special import betaln

from vaejax.base import Distribution, Key
from vaejax.distributions.noise import noise_of, sum_event

FAR = 1e9


@struct.dataclass
class StudentT(Distribution):
    r"""A normal with a random scale: tails that fall as a power.

    With :math:`y = (x - \text{loc}) / \text{scale}` and :math:`\nu` degrees of freedom,

    .. math:: p(x) = \frac{(1 + y^2 / \nu)^{-(\nu + 1) / 2}}
        {\text{scale} \sqrt\nu\, B(\frac12, \frac\nu2)}

    It is the Cauchy distribution at nu = 1, and the normal as nu grows: the beta
    function keeps its digits there.

    Attributes:
      loc: median and mode, `[*batch_shape, *event_shape]`.
      scale: positive, broadcasts against `loc`; the standard deviation is
        sqrt(nu / (nu - 2)) of it where nu is above 2.
      degrees_of_freedom: nu, positive, broadcasts against `loc`.
      event_ndims: how many trailing axes `log_prob` sums; 0 gives the unsummed terms.
    """

    loc: jax.Array
    scale: jax.Array
    degrees_of_freedom: jax.Array
    event_ndims: int = struct.field(pytree_node=False, default=1)

    def sample(self, key: Key, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draws, differentiable in all three parameters."""

        def draw(
            key: Key,
            shape: tuple[int, ...],
            loc: jax.Array,
            scale: jax.Array,
            nu: jax.Array,
        ) -> jax.Array:
            return loc + scale * jax.random.t(key, nu, shape, loc.dtype)

        parameters = self.loc, self.scale, self.degrees_of_freedom
        return noise_of(draw, key, sample_shape, parameters, self.event_ndims)

    def log_prob(self, value: jax.Array) -> jax.Array:
        """Log density in nats, `[..., *batch_shape]`."""
        nu = self.degrees_of_freedom
        standardized = (value - self.loc) / self.scale
        log_normaliser = jnp.log(self.scale) + 0.5 * jnp.log(nu) + betaln(0.5, nu / 2)
        size = jnp.abs(standardized)
        far = size > FAR * jnp.sqrt(nu)  # where the 1 is rounded away, or y^2 overflows
        near_terms = jnp.log1p(jnp.where(far, 0, standardized) ** 2 / nu)
        far_terms = 2 * jnp.log(jnp.where(far, size, 1)) - jnp.log(nu)
        terms = -(nu + 1) / 2 * jnp.where(far, far_terms, near_terms) - log_normaliser
        return sum_event(terms, self.event_ndims)

    def mean(self) -> jax.Array:
        """The expectation, NaN where nu is at most 1 and there is none."""
        return jnp.where(self.degrees_of_freedom > 1, self.loc, math.nan)

    def mode(self) -> jax.Array:
        """The mode, loc."""
        return self.loc
