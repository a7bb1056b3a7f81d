r"""Estimates of the rate KL(q || p) from one draw z ~ q.

Each is `(q, p, z, log_q) -> [..., B]` in nats, with `log_q` = log q(z); all have the
same expectation, KL(q || p), and differ in their variance and in what they need.
"""

import jax
import jax.numpy as jnp

from vaejax.base import Distribution, Z
from vaejax.distributions import kl_divergence


def sampled(q: Distribution, p: Distribution, z: Z, log_q: jax.Array) -> jax.Array:
    r"""One-draw estimate, for any pair: :math:`\log q(z) - \log p(z)`."""
    return log_q - p.log_prob(z)


def analytic(q: Distribution, p: Distribution, z: Z, log_q: jax.Array) -> jax.Array:
    """The closed form: no variance.

    Raises:
      TypeError: if the pair has no closed form; use `sampled`.
    """
    return jnp.broadcast_to(kl_divergence(q, p), jnp.shape(log_q))


def path_derivative(
    q: Distribution, p: Distribution, z: Z, log_q: jax.Array
) -> jax.Array:
    r"""`sampled`, its gradient without the score: :math:`\log\bar q(z) - \log p(z)`.

    The parameters of :math:`\bar q` are held fixed, so the gradient flows through z
    alone; it is exactly zero at q = p ("sticking the landing").

    References:
      Roeder et al., 2017, https://arxiv.org/abs/1703.09194.
    """
    return jax.lax.stop_gradient(q).log_prob(z) - p.log_prob(z)
