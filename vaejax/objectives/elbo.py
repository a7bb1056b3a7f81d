"""The evidence lower bound."""

import jax

from vaejax.base import Key, Metrics, Model, Objective, Params, Rate, X, total_rate
from vaejax.checks import check_weights
from vaejax.rates import analytic


def elbo(
    *, beta: float = 1.0, rate: Rate = analytic, num_particles: int = 1
) -> Objective:
    r"""Negative evidence lower bound, its rate weighted by beta.

    .. math:: -E_{q(z|x)}[\log p(x|z)] + \beta\, \mathrm{KL}(q(z|x) \| p(z))

    `beta=1` is the VAE, a bound on -log p(x); `beta=0` leaves the distortion. For a
    schedule, build the objective inside the step, from `state.step`.

    Args:
      beta: weight of the rate; may be traced.
      rate: how the KL is estimated, one of `vaejax.rates`: `analytic` where the pair
        has a closed form, `sampled` for any, `path_derivative` for a gradient that
        vanishes at the true posterior.
      num_particles: K, posterior samples averaged per example, at least 1.

    Returns:
      An `Objective`: loss `[B]` in nats; metrics `distortion` and `rate`, each `[B]`.

    Raises:
      ValueError: if `num_particles` is less than 1, or a Python `beta` is negative.
      TypeError: at the first loss, if `rate=analytic` and the pair has no closed form.

    References:
      Kingma and Welling, 2014, https://arxiv.org/abs/1312.6114, equation 3.
      Higgins et al., 2017, https://openreview.net/forum?id=Sy2fzU9gl, equation 4.
    """
    if num_particles < 1:
        raise ValueError(f"num_particles must be at least 1, got {num_particles}.")
    check_weights(beta=beta)

    def loss(key: Key, model: Model, params: Params, x: X) -> tuple[jax.Array, Metrics]:
        posterior, prior = model.encode(params, x), model.prior(params)
        z, rates = posterior.sample_and_rates(key, prior, rate, (num_particles,))
        distortion = model.decode(params, z).distortion(x).mean(axis=0)  # [K, B] -> [B]
        total = total_rate(rates).mean(axis=0)
        return distortion + beta * total, {"distortion": distortion, "rate": total}

    return Objective(loss)
