"""Maps whose parameters are an affine map of the context."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from vaejax.base import Key, Params, split
from vaejax.flows.flow import Context, Flow, Moved

SMALL = 0.01  # the scale of what a context says at first


def amortized(
    initial: Callable[[Key, int], Params],
    forward: Callable[[Params, jax.Array], tuple[jax.Array, jax.Array]],
) -> Flow:
    r"""A forward-only flow; without a context its parameters are the same for all.

    .. math:: \text{parameters} = \text{bias} + \text{context} \cdot \text{kernel}

    Args:
      initial: `(key, D)` to its parameters at first, each of any shape.
      forward: `(parameters, z)` to z' and log |det|; each parameter has the leading
        axes of the context before its own.
    """

    def init(key: Key, dim: int, context_dim: int) -> Params:
        bias_key, kernel_key = split(key)
        bias = initial(bias_key, dim)
        if not context_dim:
            return {"bias": bias}
        keys = split(kernel_key, len(bias))
        kernel = {
            name: SMALL * jax.random.normal(key, (context_dim, *leaf.shape))
            for key, (name, leaf) in zip(keys, bias.items(), strict=True)
        }
        return {"bias": bias, "kernel": kernel}

    def run(params: Params, z: jax.Array, context: Context) -> Moved:
        own = params["bias"]
        if context is not None:
            own = {
                name: leaf + jnp.tensordot(context, params["kernel"][name], 1)
                for name, leaf in own.items()
            }
        return forward(own, z)

    return Flow(init, run, None)
