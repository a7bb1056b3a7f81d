"""Autoregressive maps: each coordinate is told by those before it."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from vaejax.base import Params
from vaejax.flows.elementwise import Elementwise
from vaejax.flows.flow import Context, Flow, Moved
from vaejax.networks.made import made


def autoregressive(elementwise: Elementwise, hidden: int | Sequence[int]) -> Flow:
    r"""Each new coordinate is told by the new ones before it.

    .. math:: z'_i = f(z_i; \text{network}_i(z'_{<i}, \text{context}))

    `inverse` is one pass of the network. `forward` is a scan of D passes, of which
    the i-th finds the i-th coordinate; it is differentiable as any scan is.

    Args:
      elementwise: f, an increasing map of each coordinate.
      hidden: the widths of the masked network.
    """
    network = made(elementwise.num_params, hidden=hidden)

    def forward(params: Params, z: jax.Array, context: Context) -> Moved:
        def step(i: jax.Array, new: jax.Array) -> jax.Array:
            out, _ = elementwise.forward(network.apply(params, new, context), z)
            # What is not found yet stays 0: it might overflow, and 0 * inf is NaN.
            return jnp.where(jnp.arange(z.shape[-1]) == i, out, new)

        new = jax.lax.fori_loop(0, z.shape[-1], step, jnp.zeros_like(z))
        _, log_slopes = elementwise.forward(network.apply(params, new, context), z)
        return new, log_slopes.sum(axis=-1)

    def inverse(params: Params, z: jax.Array, context: Context) -> Moved:
        z, log_slopes = elementwise.inverse(network.apply(params, z, context), z)
        return z, log_slopes.sum(axis=-1)

    return Flow(network.init, forward, inverse)
