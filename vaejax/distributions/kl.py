"""The Kullback-Leibler divergence in closed form."""

import jax

from vaejax.base import Distribution


def kl_divergence(q: Distribution, p: Distribution) -> jax.Array:
    r"""KL(q || p) in nats, `[*batch_shape]`, where the pair has a closed form.

    .. math:: \mathrm{KL}(q \| p) = E_{z \sim q}[\log q(z) - \log p(z)]

    A family that knows one defines `kl_to(p)`, which returns None for a p it does not
    know; nothing is registered anywhere.

    Raises:
      TypeError: if the pair has no closed form; the message names what to use instead.
    """
    kl_to = getattr(q, "kl_to", None)
    kl = None if kl_to is None else kl_to(p)
    if kl is None:
        raise TypeError(
            f"KL({type(q).__name__} || {type(p).__name__}) has no closed form: pass "
            "rate=vaejax.rates.sampled (on the command line, --rate sampled) in place "
            "of analytic."
        )
    return kl
