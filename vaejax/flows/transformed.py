"""A distribution pushed through a flow."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from vaejax.base import Distribution, Key
from vaejax.batch import Shared
from vaejax.flows.flow import Context, Flow


@struct.dataclass
class Transformed(Distribution):
    r"""The law of z' = flow(z), z ~ base.

    .. math:: \log q(z') = \log \text{base}(z) - \log|\det \partial z' / \partial z|

    Attributes:
      base: a distribution of batch shape `[*batch_shape]` and event shape `[D]`.
      params: of the flow, one set for all examples.
      flow: forward from the base.
      context: `[*batch_shape, C]`, or None.
    """

    base: Any
    params: Shared
    flow: Flow = struct.field(pytree_node=False)
    context: Context = None

    def sample(self, key: Key, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draws `[*sample_shape, *batch_shape, D]`, differentiable in everything."""
        return self.sample_and_log_prob(key, sample_shape)[0]

    def sample_and_log_prob(
        self, key: Key, sample_shape: tuple[int, ...] = ()
    ) -> tuple[jax.Array, jax.Array]:
        """Both in one pass forward, which every flow has."""
        z, log_q = self.base.sample_and_log_prob(key, sample_shape)
        z, log_det = self.flow.forward(self.params.tree, z, self.context)
        return z, log_q - log_det

    def log_prob(self, value: jax.Array) -> jax.Array:
        """Log density in nats, `[..., *batch_shape]`, by the inverse of the flow.

        Raises:
          TypeError: if the flow runs forward only.
        """
        if self.flow.inverse is None:
            raise TypeError(
                "This flow runs forward only (planar, radial, sylvester): it has no "
                "density but that of its own draws. In a posterior use "
                "rate=vaejax.rates.sampled (on the command line, --rate sampled) or, "
                "with weighted particles, gradient='pathwise'; elsewhere an invertible "
                "flow, such as affine_coupling."
            )
        if self.context is not None:
            lead = jnp.broadcast_shapes(value.shape[:-1], self.context.shape[:-1])
            value = jnp.broadcast_to(value, (*lead, value.shape[-1]))
        z, log_det = self.flow.inverse(self.params.tree, value, self.context)
        return self.base.log_prob(z) + log_det

    def tempered(self, temperature: float | jax.Array) -> "Transformed":
        """The base's deviations from its mean times `temperature`, then the flow."""
        return self.replace(base=self.base.tempered(temperature))
