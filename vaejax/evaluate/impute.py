"""What the hidden values of incomplete examples may be."""

import functools

import jax
import jax.numpy as jnp

from vaejax.base import (
    ConditionalModel,
    Key,
    Metrics,
    Model,
    Params,
    X,
    Z,
    split,
    total_rate,
)
from vaejax.batch import batch_size, example_keys
from vaejax.distributions.masked import Incomplete
from vaejax.missing import observed
from vaejax.models import conditioned
from vaejax.rates import sampled


@functools.partial(jax.jit, static_argnames=("model", "num_particles", "images"))
def impute(
    key: Key,
    model: Model | ConditionalModel,
    params: Params,
    x: X,
    num_particles: int = 1000,
    *,
    fill: jax.Array | float = 0.0,
    images: int = 8,
) -> tuple[jax.Array, Metrics]:
    r"""The conditional mean of what is hidden, given what was observed.

    .. math:: E[x_\text{hidden} | x_\text{observed}] \approx \frac{\sum_k w_k
              E[x_\text{hidden} | z_k]}{\sum_k w_k}, \quad w_k =
              \frac{p(x_\text{observed}|z_k)\, p(z_k)}{q(z_k|x_\text{observed})}

    with :math:`z_k` from the encoder. Bias and variance fall as 1 / K.

    Args:
      key: a scalar key.
      model: a model of `(value, mask)`, see `vaejax.missing`; batches of a
        `ConditionalModel` are `((value, mask), y)`.
      params: its parameters.
      x: the examples, arrays `[N, ...]`; the mask is 1 where observed.
      num_particles: K, at least 1.
      fill: what the encoder sees of hidden values, as in training.
      images: how many examples are in memory at once, with K decodings each.

    Returns:
      The values `[N, ...]`, means in place of what is hidden, and `[N]`:
      `effective_sample_size`, from 1 to K; where it is small, take more particles.

    Raises:
      ValueError: if a count is less than 1.

    References:
      Mattei and Frellsen, 2019, https://arxiv.org/abs/1812.02633, section 3.
    """
    _check(num_particles=num_particles, images=images)

    def one(pair: tuple[X, Key]) -> tuple[jax.Array, Metrics]:
        own, example = _alone(model, pair[0], fill)
        z, log_w = _weighted(pair[1], own, params, example, num_particles)
        w = jax.nn.softmax(log_w)  # [K]
        mean = jnp.tensordot(w, own.decode(params, z).mean()[:, 0], axes=1)
        return _complete(example, mean), {"effective_sample_size": 1 / (w**2).sum()}

    with jax.default_matmul_precision("highest"):
        keys = example_keys(key, batch_size(x))
        return jax.lax.map(one, (x, keys), batch_size=images)


@functools.partial(
    jax.jit, static_argnames=("model", "num_draws", "num_particles", "images")
)
def impute_draws(
    key: Key,
    model: Model | ConditionalModel,
    params: Params,
    x: X,
    num_draws: int,
    num_particles: int = 1000,
    *,
    fill: jax.Array | float = 0.0,
    images: int = 8,
) -> jax.Array:
    r"""Draws of what is hidden, given what was observed: multiple imputation.

    Each draws one of K particles by its weight (see `impute`), then from p(x|z) there;
    as K grows the law of a draw is
    :math:`p(x_\text{hidden} | x_\text{observed})`.

    Args:
      key: a scalar key.
      model: as for `impute`.
      params: its parameters.
      x: the examples, arrays `[N, ...]`; the mask is 1 where observed.
      num_draws: S, of every example.
      num_particles: K, at least 1.
      fill: as for `impute`.
      images: how many examples are in memory at once.

    Returns:
      The values `[S, N, ...]`, draws in place of what is hidden.

    Raises:
      ValueError: if a count is less than 1.

    References:
      Mattei and Frellsen, 2019, https://arxiv.org/abs/1812.02633, section 3.
    """
    _check(num_draws=num_draws, num_particles=num_particles, images=images)

    def one(pair: tuple[X, Key]) -> jax.Array:
        own, example = _alone(model, pair[0], fill)
        key, choice_key, draw_key = split(pair[1], 3)
        z, log_w = _weighted(key, own, params, example, num_particles)
        w = jax.nn.softmax(log_w)
        chosen = jax.random.choice(choice_key, num_particles, (num_draws,), p=w)
        z = jax.tree.map(lambda leaf: leaf[chosen], z)  # [S, 1, D]
        draws = own.decode(params, z).sample(draw_key)[:, 0]
        return _complete(example, draws)

    with jax.default_matmul_precision("highest"):
        keys = example_keys(key, batch_size(x))
        return jnp.moveaxis(jax.lax.map(one, (x, keys), batch_size=images), 0, 1)


def _alone(
    model: Model | ConditionalModel, x: X, fill: jax.Array | float
) -> tuple[Model, Incomplete]:
    """One example as a batch of one, and the model of what was observed of it."""
    own, example = conditioned(model, jax.tree.map(lambda leaf: leaf[None], x))
    return observed(own, fill), example


def _weighted(
    key: Key, model: Model, params: Params, x: Incomplete, num_particles: int
) -> tuple[Z, jax.Array]:
    """Particles z `[K, 1, D]` of one example, and their log weights `[K]`."""
    posterior, prior = model.encode(params, x), model.prior(params)
    z, rates = posterior.sample_and_rates(key[None], prior, sampled, (num_particles,))
    log_w = model.decode(params, z).log_prob(x) - total_rate(rates)  # [K, 1]
    return z, log_w[:, 0]


def _complete(x: Incomplete, other: jax.Array) -> jax.Array:
    """What was observed, and `other` `[..., *event]` where nothing was."""
    value, mask = x
    return jnp.where(jnp.broadcast_to(mask, value.shape)[0], value[0], other)


def _check(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} must be at least 1, got {count}.")
