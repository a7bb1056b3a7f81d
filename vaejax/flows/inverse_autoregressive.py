"""The inverse autoregressive flow: its draws are fast."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from vaejax.flows.autoregressive import autoregressive
from vaejax.flows.elementwise import Elementwise, soft_bound
from vaejax.flows.flow import Flow, invert

OPEN = 2.0  # the gate at first: sigmoid(2) = 0.88 of z stays
BOUND = 5.0  # how far from there its logit goes, so 0.05 < sigmoid < 0.999


def inverse_autoregressive(*, hidden: Sequence[int] = (320,)) -> Flow:
    r"""Every coordinate gated by what the old ones before it say.

    .. math:: z'_i = \sigma_i z_i + (1 - \sigma_i) m_i, \quad
              (m_i, s_i) = \text{network}_i(z_{<i}), \quad
              \sigma_i = \text{sigmoid}(s_i), \quad
              \log|\det| = \sum_i \log \sigma_i

    A draw and its density (`forward`) take one pass of the network, the density of a
    foreign point (`inverse`) a scan of D: a posterior wants this one, a prior
    `masked_autoregressive`. In one dimension it is an affine map. The gate stays
    between 0.05 and 0.999.

    Args:
      hidden: the widths of the masked network for m and s, which also sees the
        context.

    Returns:
      A `Flow`.

    Raises:
      ValueError: if a width is less than 1.

    References:
      Kingma et al., 2016, https://arxiv.org/abs/1606.04934, equations 12 to 14.
    """
    return invert(autoregressive(Elementwise(2, _ungate, _gate), hidden))


def _gate(params: jax.Array, z: jax.Array) -> tuple[jax.Array, jax.Array]:
    m, s = params[..., 0], OPEN + soft_bound(params[..., 1], BOUND)
    return m + jax.nn.sigmoid(s) * (z - m), -jax.nn.softplus(-s)


def _ungate(params: jax.Array, z: jax.Array) -> tuple[jax.Array, jax.Array]:
    m, s = params[..., 0], OPEN + soft_bound(params[..., 1], BOUND)
    return m + (1 + jnp.exp(-s)) * (z - m), jax.nn.softplus(-s)
