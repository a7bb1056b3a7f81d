"""The Wasserstein auto-encoder whose codes meet the prior by a kernel."""

from typing import Literal

import jax
import jax.numpy as jnp

from vaejax.base import Key, Metrics, Model, Objective, Params, X, split
from vaejax.batch import global_batch
from vaejax.checks import check_weights
from vaejax.mmd import mmd


def wae_mmd(
    *,
    weight: float = 10.0,
    kernel: Literal["rbf", "inverse_multiquadratic"] = "inverse_multiquadratic",
    scales: tuple[float, ...] = (1.0,),
    statistic: Literal["u", "v"] = "u",
) -> Objective:
    r"""Distortion, and the maximum mean discrepancy of q(z) and p(z).

    .. math:: -\log p(x|z) + \lambda\, \mathrm{MMD}^2(\{z\}, \{\tilde z\}),
              \quad z \sim q(z|x), \; \tilde z \sim p(z)

    The MMD is that of the codes of the global batch and as many draws of the prior. The
    posterior needs no density: `point_mass` is the paper's deterministic encoder. The
    squared error of the paper is the distortion of `likelihoods.normal` with a scale of
    :math:`1 / \sqrt 2`, up to a constant; `weight=0` is `reconstruction()`. The scales
    of the authors' code are 0.1, 0.2, 0.5, 1, 2, 5 and 10.

    The discrepancy reaches a learned prior through its draws; the weights of a mixture,
    which decide where a draw comes from, get no gradient from it.

    Args:
      weight: lambda; may be traced.
      kernel: "rbf" or "inverse_multiquadratic".
      scales: of the kernel, in units of 2 D, the mean squared distance between two
        draws of N(0, I); several are summed.
      statistic: "u" is unbiased and may be negative, "v" never is negative.

    Returns:
      An `Objective`: loss `[B]` in nats; metrics `distortion` and `mmd`, the squared
      MMD, which is the same for all examples: each `[B]`.

    Raises:
      ValueError: if a Python `weight` is negative, a name unknown or a scale not
        positive; at the first loss, if the U-statistic is asked of one example.

    References:
      Tolstikhin et al., 2018, https://arxiv.org/abs/1711.01558.
    """
    check_weights(weight=weight)
    discrepancy = mmd(kernel, scales, statistic)

    def loss(key: Key, model: Model, params: Params, x: X) -> tuple[jax.Array, Metrics]:
        z_key, prior_key = split(key)
        z = model.encode(params, x).sample(z_key)  # [b, D]
        draws = model.prior(params).sample(prior_key)
        distortion = model.decode(params, z).distortion(x)
        distance = discrepancy(*global_batch((z, draws)))  # []
        distance = jnp.broadcast_to(distance, distortion.shape)
        metrics = {"distortion": distortion, "mmd": distance}
        return distortion + weight * distance, metrics

    return Objective(loss)
