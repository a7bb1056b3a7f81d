"""What every latent dimension carries: its active units and its rate."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from vaejax.base import ConditionalModel, Distribution, Model, Params, X
from vaejax.batch import batch_size
from vaejax.distributions import kl_divergence
from vaejax.models import conditioned


class ActiveUnits(NamedTuple):
    """How much the posterior mean of every dimension moves with x."""

    variance: jax.Array  # A_u, [D]
    standard_error: jax.Array  # of A_u, over examples, [D]
    num_active: jax.Array  # of A_u above the threshold, []


class DimensionRates(NamedTuple):
    """The rate of every dimension in nats: a mean over examples and its error."""

    mean: jax.Array  # [D]
    standard_error: jax.Array  # [D]


@functools.partial(jax.jit, static_argnames=("model", "images"))
def active_units(
    model: Model | ConditionalModel,
    params: Params,
    x: X,
    threshold: float = 0.01,
    *,
    images: int = 64,
) -> ActiveUnits:
    r"""The dimensions whose posterior mean depends on x.

    .. math:: A_u = \mathrm{Var}_x\big(E_{q(z|x)}[z_u]\big)

    The variance is that of the N examples themselves, with 1 / N. The error is that of
    a variance of independent ones, :math:`\sqrt{(m_4 - A_u^2) / N}` with
    :math:`m_4` the fourth central moment.

    Args:
      model: any model whose posterior has a mean; a batch of a `ConditionalModel` is
        `(x, y)`.
      params: its parameters.
      x: examples, a pytree of arrays `[N, ...]`.
      threshold: the variance above which a dimension is active; may be traced.
      images: how many examples are in memory at once.

    Returns:
      `ActiveUnits`: `variance` and `standard_error`, `[D]`, and `num_active`.

    Raises:
      ValueError: if there are fewer than 2 examples, or `images` is less than 1.
      TypeError: if the posterior is a hierarchy, or has no mean in closed form.

    References:
      Burda et al., 2016, https://arxiv.org/abs/1509.00519, section 5.
    """
    _check(x, images)

    def mean(own: Model, example: X) -> jax.Array:
        loc = own.encode(params, example).mean()
        if isinstance(loc, tuple):
            raise TypeError(
                f"The posterior has {len(loc)} layers of codes: active units are "
                "defined for one, so give a model of one layer."
            )
        return loc

    means = _each(mean, model, x, images)  # [N, D]
    centred = means - means.mean(axis=0)
    variance = (centred**2).mean(axis=0)
    spread = jnp.maximum((centred**4).mean(axis=0) - variance**2, 0)
    error = jnp.sqrt(spread / batch_size(x))
    return ActiveUnits(variance, error, (variance > threshold).sum())


@functools.partial(jax.jit, static_argnames=("model", "images"))
def rate_per_dimension(
    model: Model | ConditionalModel, params: Params, x: X, *, images: int = 64
) -> DimensionRates:
    r"""The rate of every latent dimension, in nats, in closed form.

    .. math:: \frac1N \sum_n \mathrm{KL}(q(z_d|x_n) \| p(z_d))

    Their sum over d is the rate of the ELBO.

    Args:
      model: one whose posterior and prior are products over dimensions, such as
        `posteriors.diagonal_normal` and `priors.standard_normal`; a batch of a
        `ConditionalModel` is `(x, y)`.
      params: its parameters.
      x: examples, a pytree of arrays `[N, ...]`.
      images: how many examples are in memory at once.

    Returns:
      `DimensionRates`: the mean over examples and its standard error, `[D]` each.

    Raises:
      ValueError: if there are fewer than 2 examples, or `images` is less than 1.
      TypeError: if the dimensions of q or p depend on one another (a hierarchy, a
        flow, a mixture, a full covariance), or the pair has no closed form.
    """
    _check(x, images)

    def rates(own: Model, example: X) -> jax.Array:
        q, p = own.encode(params, example), own.prior(params)
        return kl_divergence(_unsummed(q), _unsummed(p))

    each = _each(rates, model, x, images)  # [N, D]
    error = each.std(axis=0, ddof=1) / jnp.sqrt(batch_size(x))
    return DimensionRates(each.mean(axis=0), error)


def _each(
    function: Callable[[Model, X], jax.Array],
    model: Model | ConditionalModel,
    x: X,
    images: int,
) -> jax.Array:
    """`function` of every example as a batch of one, `[N, D]`."""

    def one(example: X) -> jax.Array:
        own, batch = conditioned(model, jax.tree.map(lambda leaf: leaf[None], example))
        return function(own, batch).reshape(-1)

    with jax.default_matmul_precision("highest"):
        return jax.lax.map(one, x, batch_size=images)


def _unsummed(distribution: Distribution) -> Distribution:
    try:
        return distribution.replace(event_ndims=0)
    except TypeError as error:
        raise TypeError(
            f"{type(distribution).__name__} is no product over dimensions, so its rate "
            "has no part for each: use a diagonal posterior and prior, or the rate of "
            "vaejax.evaluate.log_likelihood."
        ) from error


def _check(x: X, images: int) -> None:
    if batch_size(x) < 2:
        raise ValueError(f"x must be at least 2 examples, got {batch_size(x)}.")
    if images < 1:
        raise ValueError(f"images must be at least 1, got {images}.")
