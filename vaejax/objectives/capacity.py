"""The evidence lower bound with its rate held at a capacity."""

from typing import Literal

import jax
import jax.numpy as jnp

from vaejax.base import Key, Metrics, Model, Objective, Params, Rate, X, total_rate
from vaejax.batch import global_mean
from vaejax.checks import check_weights
from vaejax.rates import analytic


def capacity(
    *,
    gamma: float = 1000.0,
    capacity: float = 25.0,
    per: Literal["batch", "example"] = "batch",
    rate: Rate = analytic,
    num_particles: int = 1,
) -> Objective:
    r"""Distortion, and the distance of the rate from C nats.

    .. math:: -E_{q(z|x)}[\log p(x|z)] + \gamma\, |\mathrm{KL}(q(z|x) \| p(z)) - C|

    `capacity=0` is `elbo(beta=gamma)`. In the paper C grows from 0 along the run: build
    the objective inside the step, from `state.step`.

    The paper writes one x. Per batch, the mean rate is held at C, as in the plots of
    the paper, and an example may cost more than another; per example, each rate is,
    which costs more by Jensen's inequality (pythae does this). Per batch the loss of an
    example is :math:`\pm \gamma (\mathrm{KL} - C)`, its sign that of the mean of the
    global batch, so that the mean of the losses is the value above and their gradient
    its gradient.

    Args:
      gamma: weight of the distance; may be traced.
      capacity: C, in nats; may be traced.
      per: whether the mean rate of a batch or that of each example is compared to C.
      rate: how the KL is estimated, one of `vaejax.rates`.
      num_particles: K, posterior samples averaged per example, at least 1.

    Returns:
      An `Objective`: loss `[B]` in nats; metrics `distortion` and `rate`, each `[B]`.

    Raises:
      ValueError: if `num_particles` is less than 1, `per` unknown, or a Python `gamma`
        or `capacity` negative or not finite.
      TypeError: at the first loss, if `rate=analytic` and the pair has no closed form.

    References:
      Burgess et al., 2018, https://arxiv.org/abs/1804.03599, equation 8.
    """
    if num_particles < 1:
        raise ValueError(f"num_particles must be at least 1, got {num_particles}.")
    if per not in ("batch", "example"):
        raise ValueError(f"per must be 'batch' or 'example', got {per!r}.")
    check_weights(gamma=gamma, capacity=capacity)

    def loss(key: Key, model: Model, params: Params, x: X) -> tuple[jax.Array, Metrics]:
        posterior, prior = model.encode(params, x), model.prior(params)
        z, rates = posterior.sample_and_rates(key, prior, rate, (num_particles,))
        distortion = model.decode(params, z).distortion(x).mean(axis=0)  # [K, B] -> [B]
        total = total_rate(rates).mean(axis=0)
        excess = total - capacity
        over = global_mean(excess.mean()) if per == "batch" else excess
        sign = jax.lax.stop_gradient(jnp.sign(over))
        return distortion + gamma * sign * excess, {
            "distortion": distortion,
            "rate": total,
        }

    return Objective(loss)
