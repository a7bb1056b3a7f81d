"""Another order of the coordinates."""

import jax
import jax.numpy as jnp
import numpy as np

from vaejax.base import Params, nothing
from vaejax.flows.flow import Context, Flow, Moved


def permutation(*, seed: int | None = None) -> Flow:
    """A fixed order of the coordinates, with nothing to learn; its log |det| is 0.

    Args:
      seed: of a random order; None reverses.

    Returns:
      A `Flow`.
    """

    def order(dim: int) -> np.ndarray:
        if seed is None:
            return np.arange(dim)[::-1]
        return np.random.default_rng(seed).permutation(dim)

    def forward(params: Params, z: jax.Array, context: Context) -> Moved:
        return z[..., order(z.shape[-1])], jnp.zeros(z.shape[:-1], z.dtype)

    def inverse(params: Params, z: jax.Array, context: Context) -> Moved:
        back = np.argsort(order(z.shape[-1]))
        return z[..., back], jnp.zeros(z.shape[:-1], z.dtype)

    return Flow(nothing, forward, inverse)
