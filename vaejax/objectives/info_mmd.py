"""InfoVAE: the ELBO with less weight on the rate and more on q(z) = p(z)."""

import math
from typing import Literal

import jax
import jax.numpy as jnp

from vaejax.base import (
    Key,
    Metrics,
    Model,
    Objective,
    Params,
    Rate,
    X,
    split,
    total_rate,
)
from vaejax.batch import global_batch
from vaejax.mmd import mmd
from vaejax.rates import analytic


def info_mmd(
    *,
    alpha: float = 0.0,
    scaling: float = 10.0,
    kernel: Literal["rbf", "inverse_multiquadratic"] = "rbf",
    scales: tuple[float, ...] = (1.0,),
    statistic: Literal["u", "v"] = "u",
    rate: Rate = analytic,
) -> Objective:
    r"""Negative ELBO that rewards mutual information, q(z) held to p(z) by the MMD.

    .. math:: -\log p(x|z) + (1 - \alpha)\, \mathrm{KL}(q(z|x) \| p(z))
              + (\alpha + \lambda - 1)\, \mathrm{MMD}^2(\{z\}, \{\tilde z\}),
              \quad z \sim q(z|x), \; \tilde z \sim p(z)

    The MMD is that of the codes of the global batch and as many draws of the prior.
    `alpha=0, scaling=1` is the ELBO; `alpha=1` is `wae_mmd(weight=scaling)` with a
    posterior that has a density.

    The discrepancy reaches a learned prior through its draws; the weights of a mixture,
    which decide where a draw comes from, get no gradient from it.

    Args:
      alpha: weight of the mutual information of x and z, at most 1; may be traced.
      scaling: lambda, weight of the divergence of q(z) from p(z), at least 1 - alpha;
        may be traced.
      kernel: "rbf" or "inverse_multiquadratic".
      scales: of the kernel, as in `wae_mmd`.
      statistic: "u" is unbiased and may be negative, "v" never is negative.
      rate: how the KL is estimated, one of `vaejax.rates`.

    Returns:
      An `Objective`: loss `[B]` in nats; metrics `distortion`, `rate` and `mmd`, the
      squared MMD, which is the same for all examples: each `[B]`.

    Raises:
      ValueError: if Python numbers make a weight negative, a name is unknown or a scale
        not positive; at the first loss, if the U-statistic is asked of one example.
      TypeError: at the first loss, if `rate=analytic` and the pair has no closed form.

    References:
      Zhao et al., 2019, https://arxiv.org/abs/1706.02262.
    """
    numbers = all(isinstance(value, int | float) for value in (alpha, scaling))
    if numbers and not (-math.inf < alpha <= 1 and 0 <= alpha + scaling - 1 < math.inf):
        raise ValueError(
            "the weights of the rate, 1 - alpha, and of the MMD, alpha + scaling - 1, "
            f"must be at least 0; got alpha {alpha} and scaling {scaling}."
        )
    discrepancy = mmd(kernel, scales, statistic)

    def loss(key: Key, model: Model, params: Params, x: X) -> tuple[jax.Array, Metrics]:
        z_key, prior_key = split(key)
        posterior, prior = model.encode(params, x), model.prior(params)
        z, rates = posterior.sample_and_rates(z_key, prior, rate)  # [b, D]
        distortion, total = model.decode(params, z).distortion(x), total_rate(rates)
        distance = discrepancy(*global_batch((z, prior.sample(prior_key))))  # []
        distance = jnp.broadcast_to(distance, distortion.shape)
        weighted = (1 - alpha) * total + (alpha + scaling - 1) * distance
        metrics = {"distortion": distortion, "rate": total, "mmd": distance}
        return distortion + weighted, metrics

    return Objective(loss)
