"""Couplings: half of the coordinates tell the other half where to go."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from vaejax.base import Key, Params
from vaejax.flows.elementwise import ElementMap, Elementwise
from vaejax.flows.flow import Context, Flow, Map, Moved
from vaejax.networks.made import apply_layers, init_layers, widths


def coupling(elementwise: Elementwise, hidden: int | Sequence[int]) -> Flow:
    r"""The first half stays, the second goes where the first and the context say.

    .. math:: z'_a = z_a, \quad z'_b = f(z_b; \text{network}(z_a, \text{context}))

    Args:
      elementwise: f, an increasing map of each coordinate.
      hidden: the widths of the network.

    Returns:
      A `Flow` for vectors of at least 2 dimensions; `init` raises a ValueError for 1.
    """
    hidden = widths(hidden)

    def init(key: Key, dim: int, context_dim: int) -> Params:
        if dim < 2:
            raise ValueError(
                f"A coupling needs at least 2 dimensions, got {dim}: use linear, "
                "masked_autoregressive or inverse_autoregressive."
            )
        num_outputs = (dim - dim // 2) * elementwise.num_params
        return init_layers(key, (dim // 2, *hidden, num_outputs), context_dim)

    def through(element: ElementMap) -> Map:
        def run(params: Params, z: jax.Array, context: Context) -> Moved:
            a, b = jnp.split(z, [z.shape[-1] // 2], axis=-1)
            numbers = apply_layers(params, a, context)
            numbers = numbers.reshape(*numbers.shape[:-1], b.shape[-1], -1)
            b, log_slopes = element(numbers, b)
            return jnp.concatenate([a, b], axis=-1), log_slopes.sum(axis=-1)

        return run

    return Flow(init, through(elementwise.forward), through(elementwise.inverse))
