"""A standard deviation from a number of any size."""

import jax
import jax.numpy as jnp

LOG_BOUND = 7.0  # of |log scale|: a scale from 0.0009 to 1,100


def bounded_scale(raw: jax.Array) -> jax.Array:
    r"""The scale of a raw number r: :math:`\log \text{scale} = 7 \tanh(r / 14)`.

    Near 0, r is the log-variance.
    """
    return jnp.exp(LOG_BOUND * jnp.tanh(raw / (2 * LOG_BOUND)))
