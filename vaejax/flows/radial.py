"""The radial flow."""

import jax
import jax.numpy as jnp

from vaejax.base import Key, Params, split
from vaejax.flows.amortized import SMALL, amortized
from vaejax.flows.elementwise import LOG_BOUND, soft_bound
from vaejax.flows.flow import Flow
from vaejax.flows.planar import positive


def radial() -> Flow:
    r"""Vectors moved away from a centre, or towards it.

    .. math:: z' = z + \frac{\beta}{\alpha + r} (z - z_0), \quad r = |z - z_0|, \quad
              \log|\det| = (D - 1) \log\left(1 + \frac{\beta}{\alpha + r}\right)
              + \log\left(1 + \frac{\alpha \beta}{(\alpha + r)^2}\right)

    It is invertible where :math:`\beta > -\alpha`: here
    :math:`\beta = \alpha\, m(\cdot)` with the m of `planar`, so that 0 is the
    identity. :math:`\alpha` is from 0.05 to 20. It runs forward only. With a context,
    its parameters are an affine map of it.

    Returns:
      A `Flow` without `inverse`.

    References:
      Rezende and Mohamed, 2015, https://arxiv.org/abs/1505.05770.
    """

    def initial(key: Key, dim: int) -> Params:
        centre_key, beta_key = split(key)
        return {
            "centre": SMALL * jax.random.normal(centre_key, (dim,)),
            "log_alpha": jnp.zeros(()),
            "beta": SMALL * jax.random.normal(beta_key, ()),
        }

    def forward(params: Params, z: jax.Array) -> tuple[jax.Array, jax.Array]:
        alpha = jnp.exp(soft_bound(params["log_alpha"], LOG_BOUND))
        slope = positive(params["beta"])  # 1 + beta / alpha
        gap = z - params["centre"]
        r = jnp.sqrt((gap**2).sum(-1) + 1e-12)  # a gradient at the centre too
        # With a share of alpha in alpha + r, all below is positive term by term.
        share = alpha / (alpha + r)
        across = 1 - share + share * slope
        along = 1 - share**2 + share**2 * slope
        z = params["centre"] + across[..., None] * gap
        return z, (z.shape[-1] - 1) * jnp.log(across) + jnp.log(along)

    return amortized(initial, forward)
