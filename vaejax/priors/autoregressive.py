"""A prior that draws one latent after the other."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from vaejax.base import Distribution, Family, Key, split
from vaejax.batch import Shared
from vaejax.distributions import Mixture, Normal
from vaejax.distributions.bounded_scale import bounded_scale
from vaejax.distributions.mixture import pick
from vaejax.distributions.noise import noise
from vaejax.networks.made import made


@struct.dataclass
class Autoregressive(Distribution):
    r"""Mixtures of normals, each told by the latents before it.

    .. math:: \log p(z) = \sum_i \log p(z_i | z_{<i})

    Attributes:
      params: of the network, one set for all draws.
      conditionals: `(params, z)`, z `[..., D]`, to the `Mixture` of batch shape
        `[..., D]` whose i-th is told by the latents before the i-th alone.
      num_dims: D.
    """

    event_ndims: ClassVar[int] = 1

    params: Shared
    conditionals: Callable[[Any, jax.Array], Mixture] = struct.field(pytree_node=False)
    num_dims: int = struct.field(pytree_node=False)

    def log_prob(self, value: jax.Array) -> jax.Array:
        """Log density in nats, `[...]`: one pass of the network."""
        conditionals = self.conditionals(self.params.tree, value)
        return conditionals.log_prob(value).sum(axis=-1)

    def sample(self, key: Key, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draws `[*sample_shape, D]`: D passes of the network."""
        index_key, eps_key = split(key)
        dim = self.num_dims
        start = jnp.zeros(dim)
        shape = self.conditionals(self.params.tree, start).logits.shape  # [D, K]
        gumbel = noise(jax.random.gumbel, index_key, sample_shape, shape, 2)
        eps = noise(jax.random.normal, eps_key, sample_shape, (dim,), 1)

        def step(i: jax.Array, z: jax.Array) -> jax.Array:
            # After pass i the latents 0 to i are right, and every later one keeps them.
            mixture = self.conditionals(self.params.tree, z)
            index = jnp.argmax(mixture.logits + gumbel, axis=-1)  # [..., D]
            loc, scale = mixture.components.loc, mixture.components.scale
            return pick(loc, index) + pick(scale, index) * eps

        return jax.lax.fori_loop(0, dim, step, jnp.zeros_like(eps))


def autoregressive(
    latent_dim: int, *, hidden: Sequence[int] = (64,), num_components: int = 5
) -> Family:
    r"""p(z) = prod_i p(z_i | z_1 .. z_{i-1}), each a mixture of normals.

    One masked network gives the weights, locs and scales of all conditionals in one
    pass; a draw takes D. With one latent it is `mixture`. Its rate has no closed form:
    train with `rate=sampled`.

    Args:
      latent_dim: D, at least 1.
      hidden: the widths of the masked network.
      num_components: K, normals in each conditional, at least 1.

    Returns:
      A `Family` of `Autoregressive` with batch shape `[]` and event shape `[D]`.

    Raises:
      ValueError: if a count or a width is less than 1.

    References:
      Uria et al., 2013, https://arxiv.org/abs/1306.0186 (mixtures of normals).
      Germain et al., 2015, https://arxiv.org/abs/1502.03509 (one masked network).
    """
    if min(latent_dim, num_components) < 1:
        raise ValueError(
            "latent_dim and num_components must be at least 1, got "
            f"{latent_dim} and {num_components}."
        )
    network = made(3 * num_components, hidden=hidden)
    spread = jnp.linspace(-1.0, 1.0, num_components) if num_components > 1 else 0.0

    def conditionals(params: Any, z: jax.Array) -> Mixture:
        outputs = network.apply(params, z, None)  # [..., D, 3 K]
        logits, loc, raw = jnp.split(outputs, 3, axis=-1)
        # Fixed places apart: components that start as one would stay one.
        return Mixture(logits, Normal(loc + spread, bounded_scale(raw), event_ndims=0))

    def init(key: Key, x: Any) -> Any:
        return network.init(key, latent_dim, 0)

    def make(params: Any, encode: Any) -> Distribution:
        return Autoregressive(Shared(params), conditionals, latent_dim)

    return Family(init, make)
