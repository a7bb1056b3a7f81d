"""A decoder that can do without the code: each pixel is told by those before it."""

from collections.abc import Callable
from typing import Any, ClassVar

import jax
from flax import struct

from vaejax.base import Distribution, Family
from vaejax.batch import Shared
from vaejax.distributions import Bernoulli
from vaejax.networks.made import made


@struct.dataclass
class Pixels(Distribution):
    """log p(x|z) = sum_i log p(x_i | x_1 .. x_{i-1}, z) of bits x `[..., P]`."""

    support: ClassVar[str] = "binary"

    code: jax.Array  # [..., D]
    params: Shared
    apply: Callable[..., jax.Array] = struct.field(pytree_node=False)

    def log_prob(self, value: jax.Array) -> jax.Array:
        logits = self.apply(self.params.tree, value, self.code)[..., 0]
        return Bernoulli(logits, event_ndims=1).log_prob(value)


def autoregressive(num_pixels: int, latent_dim: int, hidden: Any = (64,)) -> Family:
    """The likelihood of a masked network (MADE) that is also given the code."""
    network = made(1, hidden=hidden)

    def init(key, z):
        return network.init(key, num_pixels, latent_dim)

    return Family(init, lambda params, z: Pixels(z, Shared(params), network.apply))
