"""Bounds on log p(x) made of weighted particles, and estimators of their gradients."""

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

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
    split,
    total_rate,
)
from vaejax.checks import one_by_one
from vaejax.distributions.noise import noise
from vaejax.rates import path_derivative, sampled

Gradient = Literal["pathwise", "stl", "dreg", "resampled"]
TINY = 1e-30  # far below any weight that matters
fixed = jax.lax.stop_gradient


class Bound(NamedTuple):
    r"""A function of the log weights :math:`l_k = \log p(x, z_k) - \log q(z_k|x)`."""

    value: jax.Array  # L, `[B]`
    slope: jax.Array  # dL / dl_k, `[K, B]`
    doubly: jax.Array  # dL / dl_k - d^2 L / dl_k^2, `[K, B]`: the weights of DReG


def mean_log_weight(log_weights: jax.Array) -> Bound:
    r"""The evidence lower bound, :math:`\frac1K \sum_k l_k`."""
    share = jnp.full_like(log_weights, 1 / len(log_weights))
    return Bound(log_weights.mean(axis=0), share, share)


def log_mean_weight(log_weights: jax.Array) -> Bound:
    r"""The importance-weighted bound, :math:`\log \frac1K \sum_k e^{l_k}`."""
    bound = jax.nn.logsumexp(log_weights, axis=0) - jnp.log(len(log_weights))
    weights = jax.nn.softmax(log_weights, axis=0)
    return Bound(bound, weights, weights**2)


def weighted_particles(
    bound: Callable[[jax.Array], Bound], num_particles: int, gradient: Gradient
) -> Objective:
    r"""The negative of a bound in the log weights of K particles.

    The gradient for the model's own parameters is the same in the first three. Those of
    the posterior reach the bound through z, and through log q(z|x) at a fixed z:

    - `pathwise` follows both.
    - `stl`, sticking the landing, drops the second: zero in every draw at the true
      posterior, but biased unless the bound is linear in the log weights.
    - `dreg`, doubly reparameterised, replaces the second by what it equals on average,
      :math:`-\frac{\partial^2 L}{\partial l_k^2} \frac{\partial l_k}{\partial z_k}
      \frac{d z_k}{d \phi}`: zero at the true posterior as well, without a bias.
    - `resampled` is `dreg` on average, for all parameters: of K particles that went
      forward one, drawn with its slope for a probability, goes backward. With many
      particles a step takes a third of the time, and its gradient has the noise of one.

    Args:
      bound: `[K, B]` log weights to a `Bound`.
      num_particles: K, at least 1.
      gradient: of the posterior's parameters. All but `pathwise` need a posterior with
        a density at any z (a flow its inverse, which takes an `iaf` D passes), `dreg`
        and `resampled` one of one layer, `resampled` a likelihood that fits nothing to
        the batch.

    Returns:
      An `Objective`: loss `[B]` in nats; metrics `[B]`: `distortion` and `rate`, their
      means over the particles, and `effective_sample_size`, from 1 to K.

    Raises:
      ValueError: if a count is less than 1 or the gradient unknown.

    References:
      Burda et al., 2016, https://arxiv.org/abs/1509.00519 (resampled).
      Roeder et al., 2017, https://arxiv.org/abs/1703.09194 (stl).
      Tucker et al., 2019, https://arxiv.org/abs/1810.04152 (dreg).
    """
    if num_particles < 1:
        raise ValueError(f"num_particles must be at least 1, got {num_particles}.")
    if gradient not in ESTIMATORS:
        names = ", ".join(get_args(Gradient))
        raise ValueError(f"gradient must be one of {names}, got {gradient!r}.")
    estimate = ESTIMATORS[gradient]

    def loss(key: Key, model: Model, params: Params, x: X) -> tuple[jax.Array, Metrics]:
        value, distortion, rate = estimate(bound, num_particles, key, model, params, x)
        weights = jax.nn.softmax(-distortion - rate, axis=0)  # [K, B]
        return -value, {
            "distortion": distortion.mean(axis=0),
            "rate": rate.mean(axis=0),
            "effective_sample_size": 1 / (weights**2).sum(axis=0),
        }

    return Objective(loss)


Terms = tuple[jax.Array, jax.Array, jax.Array]  # bound [B], distortion and rate [K, B]


def _autodiff(
    bound: Callable[[jax.Array], Bound],
    num_particles: int,
    key: Key,
    model: Model,
    params: Params,
    x: X,
    rate: Rate,
) -> Terms:
    """Autodiff of the bound; a hierarchy's layers each have a rate."""
    posterior, prior = model.encode(params, x), model.prior(params)
    z, rates = posterior.sample_and_rates(key, prior, rate, (num_particles,))
    distortion, total = model.decode(params, z).distortion(x), total_rate(rates)
    return bound(-distortion - total).value, distortion, total


class Forward(NamedTuple):
    """K particles and their bound, before anything goes backward."""

    posterior: Distribution
    prior: Distribution
    z: Z  # `[K, B, ...]`, with its gradient
    distortion: jax.Array  # `[K, B]`, without
    rate: jax.Array  # `[K, B]`, without
    bound: Bound  # without


def _forward(
    bound: Callable[[jax.Array], Bound],
    num_particles: int,
    key: Key,
    model: Model,
    params: Params,
    x: X,
) -> Forward:
    posterior, prior = model.encode(params, x), model.prior(params)
    z, log_q = posterior.sample_and_log_prob(key, (num_particles,))
    distortion = model.decode(fixed(params), fixed(z)).distortion(x)
    rate = fixed(log_q) - fixed(prior).log_prob(fixed(z))
    weighed = bound(-distortion - rate)
    return Forward(posterior, prior, z, distortion, rate, weighed)


def _dreg(
    bound: Callable[[jax.Array], Bound],
    num_particles: int,
    key: Key,
    model: Model,
    params: Params,
    x: X,
) -> Terms:
    r"""The surrogate :math:`\sum_k L'_k l_k`, its gradient in z scaled for DReG.

    Once compiled, its pass through the decoder and that of `_forward` are one.
    """
    own = _forward(bound, num_particles, key, model, params, x)
    surrogate = _doubly(own, own.z, own.bound.doubly, own.bound.slope, model, params, x)
    return _valued(own, surrogate)


def _resampled(
    bound: Callable[[jax.Array], Bound],
    num_particles: int,
    key: Key,
    model: Model,
    params: Params,
    x: X,
) -> Terms:
    r"""The surrogate of DReG in one particle, drawn with probabilities :math:`L'_k`."""
    model = model._replace(decode=one_by_one(model.decode, "gradient='resampled'"))
    draw_key, pick_key = split(key)
    own = _forward(bound, num_particles, draw_key, model, params, x)
    slope = own.bound.slope  # [K, B]
    gumbel = noise(jax.random.gumbel, pick_key, slope.shape[:1], slope.shape[1:], 0)
    picked = jnp.argmax(jnp.log(slope) + gumbel, axis=0, keepdims=True)  # [1, B]

    def pick(leaf: jax.Array) -> jax.Array:  # [K, B, ...] to [1, B, ...]
        row = picked.reshape(*picked.shape, *(1,) * (leaf.ndim - picked.ndim))
        return jnp.take_along_axis(leaf, row, axis=0)

    z = jax.tree.map(pick, own.z)
    total = slope.sum(axis=0, keepdims=True)
    doubly = pick(own.bound.doubly / jnp.maximum(slope, TINY)) * total
    return _valued(own, _doubly(own, z, doubly, total, model, params, x))


def _doubly(
    own: Forward,
    z: Z,
    doubly: jax.Array,
    slope: jax.Array,
    model: Model,
    params: Params,
    x: X,
) -> jax.Array:
    """The sum of slopes times log weights, their gradient in z times doubly / slope."""
    scale = doubly / jnp.maximum(slope, TINY)
    z = jax.tree.map(lambda leaf: scaled(leaf, scale), z)
    log_joint = own.prior.log_prob(z) - model.decode(params, z).distortion(x)
    return (slope * (log_joint - fixed(own.posterior).log_prob(z))).sum(axis=0)


def _valued(own: Forward, surrogate: jax.Array) -> Terms:
    """The terms, with the value of the bound and the gradient of the surrogate."""
    value = own.bound.value + (surrogate - fixed(surrogate))
    return value, own.distortion, own.rate


@jax.custom_jvp
def scaled(z: Z, scale: jax.Array) -> Z:
    """Returns z `[K, B, ...]`; its gradient is multiplied by scale `[K, B]`."""
    return z


@scaled.defjvp
def _scaled_jvp(primals: Any, tangents: Any) -> tuple[Z, Z]:
    (z, scale), (tangent, _) = primals, tangents
    return z, scale.reshape(*scale.shape, *(1,) * (z.ndim - scale.ndim)) * tangent


ESTIMATORS: dict[str, Callable[..., Terms]] = {
    "pathwise": functools.partial(_autodiff, rate=sampled),
    "stl": functools.partial(_autodiff, rate=path_derivative),
    "dreg": _dreg,
    "resampled": _resampled,
}
