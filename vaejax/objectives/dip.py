"""The ELBO with a penalty that makes the codes uncorrelated."""

from typing import Literal

import jax
import jax.numpy as jnp

from vaejax.base import (
    Distribution,
    Key,
    Metrics,
    Model,
    Objective,
    Params,
    Rate,
    X,
    Z,
    total_rate,
)
from vaejax.batch import global_batch
from vaejax.checks import check_weights
from vaejax.distributions import Normal
from vaejax.rates import analytic


def covariance(rows: jax.Array) -> jax.Array:
    """The covariance of the rows about their mean: `[B, D] -> [D, D]`."""
    centred = rows - rows.mean(axis=0)
    return centred.T @ centred / rows.shape[0]


def of_means(posterior: Distribution, z: Z) -> jax.Array:
    """The covariance over the batch of E[z|x], `[D, D]`."""
    return covariance(posterior.mean())


def of_codes(posterior: Distribution, z: Z) -> jax.Array:
    """The covariance of q(z), in closed form for a normal posterior: `[D, D]`."""
    if not isinstance(posterior, Normal):
        return covariance(z)
    variance = jnp.broadcast_to(posterior.scale, posterior.loc.shape) ** 2
    return covariance(posterior.loc) + jnp.diag(variance.mean(axis=0))


KINDS = {"i": of_means, "ii": of_codes}


def dip(
    *,
    kind: Literal["i", "ii"] = "ii",
    lambda_diagonal: float = 10.0,
    lambda_off_diagonal: float = 10.0,
    rate: Rate = analytic,
) -> Objective:
    r"""Negative ELBO and the distance of a covariance C of the codes to the identity.

    .. math:: \mathrm{ELBO}^- + \lambda_{od} \sum_{i \ne j} C_{ij}^2
              + \lambda_d \sum_i (C_{ii} - 1)^2

    Kind "i" takes :math:`C = \mathrm{Cov}_x[E[z|x]]`, kind "ii" that of z itself,
    :math:`E_x[\mathrm{Cov}[z|x]] + \mathrm{Cov}_x[E[z|x]]`, both over the global batch
    (of a posterior that is not a diagonal normal, kind "ii" takes that of the draws).
    Both weights 0 leave the ELBO.

    Args:
      kind: "i" or "ii".
      lambda_diagonal: weight of the diagonal; may be traced.
      lambda_off_diagonal: weight of the rest; may be traced.
      rate: how the KL is estimated, one of `vaejax.rates`.

    Returns:
      An `Objective`: loss `[B]` in nats; metrics `distortion`, `rate` and `dip`, the
      penalty, which is the same for all examples: each `[B]`.

    Raises:
      ValueError: if the kind is unknown, or a Python weight is negative.
      TypeError: at the first loss, if kind is "i" and the posterior has no mean in
        closed form, or `rate=analytic` and the pair has no divergence.

    References:
      Kumar et al., 2018, https://arxiv.org/abs/1711.00848, equations 6 and 7.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be 'i' or 'ii', got {kind!r}.")
    check_weights(
        lambda_diagonal=lambda_diagonal, lambda_off_diagonal=lambda_off_diagonal
    )

    def loss(key: Key, model: Model, params: Params, x: X) -> tuple[jax.Array, Metrics]:
        posterior, prior = model.encode(params, x), model.prior(params)
        z, rates = posterior.sample_and_rates(key, prior, rate)
        distortion, total = model.decode(params, z).distortion(x), total_rate(rates)
        cov = KINDS[kind](*global_batch((posterior, z)))  # [D, D]
        eye = jnp.eye(cov.shape[0])
        weights = jnp.where(eye, lambda_diagonal, lambda_off_diagonal)
        penalty = (weights * (cov - eye) ** 2).sum()
        penalty = jnp.broadcast_to(penalty, distortion.shape)
        metrics = {"distortion": distortion, "rate": total, "dip": penalty}
        return distortion + total + penalty, metrics

    return Objective(loss)
