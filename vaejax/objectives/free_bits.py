"""The evidence lower bound with a rate that is free up to a threshold."""

from typing import Literal

import jax
import jax.numpy as jnp

from vaejax.base import Distribution, Key, Metrics, Model, Objective, Params, Rate, X, Z
from vaejax.batch import global_mean
from vaejax.checks import check_weights
from vaejax.rates import analytic


def free_bits(
    *,
    free_nats: float = 0.25,
    kind: Literal["per_dimension", "per_group"] = "per_dimension",
    rate: Rate = analytic,
    num_particles: int = 1,
) -> Objective:
    r"""Negative evidence lower bound whose first nats of rate cost nothing.

    .. math:: -E_{q(z|x)}[\log p(x|z)] + \sum_j \max\left(\lambda,
              E_x\, \mathrm{KL}(q(z_j|x) \| p(z_j)) \right)

    The mean over x is that of the global batch. `free_nats=0` with the analytic rate is
    the ELBO. An example pays its own rate in every group j whose mean exceeds
    :math:`\lambda` and :math:`\lambda` in all others: the mean of the losses is the
    formula and their gradient its gradient.

    Args:
      free_nats: lambda, nats per group that cost nothing; may be traced.
      kind: what a group is: a dimension of z, for posteriors and priors that are
        products over them, or all of z (each layer of a hierarchy).
      rate: how the KL is estimated, one of `vaejax.rates`.
      num_particles: K, posterior samples averaged per example, at least 1.

    Returns:
      An `Objective`: loss `[B]` in nats; metrics `distortion` and `rate`, each `[B]`.

    Raises:
      ValueError: if `num_particles` is less than 1, `kind` unknown, or a Python
        `free_nats` negative or not finite.
      TypeError: at the first loss, if the dimensions of q or p depend on one another,
        or if `rate=analytic` and the pair has no closed form.

    References:
      Kingma et al., 2016, https://arxiv.org/abs/1606.04934, equation 15.
    """
    if num_particles < 1:
        raise ValueError(f"num_particles must be at least 1, got {num_particles}.")
    if kind not in ("per_dimension", "per_group"):
        raise ValueError(f"kind must be per_dimension or per_group, got {kind!r}.")
    check_weights(free_nats=free_nats)

    def per_dimension(
        q: Distribution, p: Distribution, z: Z, log_q: jax.Array
    ) -> jax.Array:
        q, p = _unsummed(q), _unsummed(p)
        return rate(q, p, z, q.log_prob(z))  # [K, B, D]

    group_rate = per_dimension if kind == "per_dimension" else rate

    def loss(key: Key, model: Model, params: Params, x: X) -> tuple[jax.Array, Metrics]:
        posterior, prior = model.encode(params, x), model.prior(params)
        z, rates = posterior.sample_and_rates(key, prior, group_rate, (num_particles,))
        distortion = model.decode(params, z).distortion(x).mean(axis=0)  # [K, B] -> [B]
        layers = [layer.reshape(*layer.shape[:2], -1).mean(axis=0) for layer in rates]
        groups = jnp.concatenate(layers, axis=-1)  # [B, J]
        mean = global_mean(groups.mean(axis=0))  # [J]
        paid = jnp.where(mean >= free_nats, groups, free_nats).sum(axis=-1)
        return distortion + paid, {
            "distortion": distortion,
            "rate": groups.sum(axis=-1),
        }

    return Objective(loss)


def _unsummed(distribution: Distribution) -> Distribution:
    try:
        return distribution.replace(event_ndims=0)
    except TypeError as error:
        raise TypeError(
            f"{type(distribution).__name__} is no product over dimensions: pass "
            "kind='per_group' (on the command line, --kind per_group)."
        ) from error
