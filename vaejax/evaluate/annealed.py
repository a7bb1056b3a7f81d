r"""Log p(x) by annealed importance sampling, and a sandwich around it.

.. math:: f_t(z) = p(z)\, p(x|z)^{\beta_t}, \quad 0 = \beta_0 < \dots < \beta_T = 1

Chains go from the prior to the posterior, each at f_t by a Hamiltonian move; where the
posterior of the model is far from the best q(z|x), they find it and q does not.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import logsumexp

from vaejax.base import (
    ConditionalModel,
    Distribution,
    Key,
    Metrics,
    Model,
    Params,
    X,
    split,
)
from vaejax.batch import batch_size, example_keys
from vaejax.models import conditioned, unconditional

TARGET = 0.65  # share of moves accepted, to which the pilot run drives the step size
FIRST_STEP = 0.3  # where the prior has unit scale
STEEPNESS = 4.0  # of the sigmoid along which the temperatures lie


class Sandwich(NamedTuple):
    """Bounds on log p(x) of simulated images in nats, each `[N]`."""

    lower: jax.Array  # in expectation at most log p(x)
    upper: jax.Array  # in expectation at least log p(x)
    lower_error: jax.Array  # standard errors over the chains, by the delta method
    upper_error: jax.Array  # given the z that all its chains start from
    acceptance: jax.Array  # share of moves of the lower bound
    x: X  # the images


class Density(NamedTuple):
    """One image's joint density with z, as a function of z `[C, 1, D]`."""

    prior: Distribution
    likelihood: Callable[[jax.Array], jax.Array]  # log p(x|z), `[C]`

    def tempered(self, beta: jax.Array | float, z: jax.Array) -> jax.Array:
        """Log f of z, `[C]`."""
        return self.prior.log_prob(z)[:, 0] + beta * self.likelihood(z)


STATIC = ("model", "num_chains", "num_temperatures", "num_leapfrog", "images")


@functools.partial(jax.jit, static_argnames=STATIC)
def annealed_log_likelihood(
    key: Key,
    model: Model | ConditionalModel,
    params: Params,
    x: X,
    num_chains: int = 16,
    *,
    num_temperatures: int = 1000,
    num_leapfrog: int = 10,
    images: int = 16,
) -> tuple[jax.Array, Metrics]:
    r"""The annealed importance sampling estimate of log p(x) of every image, in nats.

    .. math:: \log \frac1C \sum_c w_c, \quad
              \log w = \sum_{t=1}^T (\beta_t - \beta_{t-1}) \log p(x|z_{t-1}),
              \quad z_0 \sim p(z),\ z_t \sim f_t\text{'s Hamiltonian move from }z_{t-1}

    E[w] = p(x) exactly, so the estimate is a lower bound in expectation, for any number
    of temperatures; with one temperature it is importance sampling from the prior. The
    step sizes are found by a pilot run with noise of its own: a step size that adapts
    to the very chain it moves would cost the exactness.

    Args:
      key: a scalar key.
      model: any flat model whose prior has a density; of a `ConditionalModel`, of
        batches `(x, y)`, the estimate is of log p(x|y). The posterior is not used.
      params: its parameters.
      x: images, a pytree of arrays `[N, ...]`, ready for the likelihood.
      num_chains: C, of each image, at least 2.
      num_temperatures: T, at least 1; along a sigmoid, dense at both ends.
      num_leapfrog: steps of each move, at least 1.
      images: how many images are in memory at once, each with all its chains.

    Returns:
      The estimates `[N]`, and `[N]` each: `monte_carlo_error` (of the estimate, by the
      delta method), `effective_sample_size` (of the chains) and `acceptance`.

    Raises:
      ValueError: if a count is below its least.
      TypeError: if z is not one array, as in a hierarchy.

    References:
      Neal, 2001, https://arxiv.org/abs/physics/9803008.
      Wu et al., 2017, https://arxiv.org/abs/1611.04273 (decoders, the sigmoid).
    """
    _check(num_chains, num_temperatures, num_leapfrog, images)

    def one_image(pair: tuple[X, Key]) -> tuple[jax.Array, Metrics]:
        image, key = pair
        own, image = conditioned(model, jax.tree.map(lambda leaf: leaf[None], image))
        density = _density(own, params, image)
        log_w, acceptance, _ = _forward(
            key, density, num_chains, num_temperatures, num_leapfrog
        )
        estimate, error, ess = _log_mean(log_w)
        return estimate, {
            "monte_carlo_error": error,
            "effective_sample_size": ess,
            "acceptance": acceptance,
        }

    with jax.default_matmul_precision("highest"):
        keys = example_keys(key, batch_size(x))
        return jax.lax.map(one_image, (x, keys), batch_size=images)


@functools.partial(jax.jit, static_argnames=(*STATIC, "num_images"))
def bidirectional(
    key: Key,
    model: Model,
    params: Params,
    num_images: int = 100,
    num_chains: int = 16,
    *,
    num_temperatures: int = 1000,
    num_leapfrog: int = 10,
    images: int = 16,
) -> Sandwich:
    r"""Log p(x) between two bounds, of images drawn from the model itself.

    The z that an image was drawn from is an exact draw of its posterior, so chains can
    also go from there to the prior, by the same moves in reverse: the mean of their
    weights is 1 / p(x), and minus its log an upper bound. Where the two bounds meet,
    `annealed_log_likelihood` with these settings can be trusted on such images.

    Args:
      key: a scalar key.
      model: any flat model whose prior has a density.
      params: its parameters.
      num_images: N, how many to draw.
      num_chains: C, of each image in each direction, at least 2.
      num_temperatures: T, at least 1.
      num_leapfrog: steps of each move, at least 1.
      images: how many are in memory at once, each with all its chains.

    Returns:
      A `Sandwich`.

    Raises:
      ValueError: if a count is below its least.
      TypeError: if z is not one array, as in a hierarchy, or the model waits for a
        condition.

    References:
      Grosse et al., 2015, https://arxiv.org/abs/1511.02543.
    """
    _check(num_chains, num_temperatures, num_leapfrog, images, num_images)
    model = unconditional(model, "bidirectional")
    z_key, x_key, key = split(key, 3)
    z = model.prior(params).sample(z_key, (num_images,))
    x = model.decode(params, z).sample(x_key)

    def one_image(triple: tuple[X, jax.Array, Key]) -> Sandwich:
        image, z, key = triple
        image = jax.tree.map(lambda leaf: leaf[None], image)
        density = _density(model, params, image)
        there, back = split(key)
        log_w, acceptance, sizes = _forward(
            there, density, num_chains, num_temperatures, num_leapfrog
        )
        start = jnp.broadcast_to(z, (num_chains, 1, *z.shape))
        reverse = _reverse(back, density, start, sizes, num_leapfrog)
        lower, lower_error, _ = _log_mean(log_w)
        upper, upper_error, _ = _log_mean(reverse)
        return Sandwich(lower, -upper, lower_error, upper_error, acceptance, image)

    with jax.default_matmul_precision("highest"):
        triples = x, z, example_keys(key, num_images)
        sandwich = jax.lax.map(one_image, triples, batch_size=images)
    return sandwich._replace(x=x)


def temperatures(num: int) -> jax.Array:
    """From 0 to 1 along a sigmoid, `[num + 1]`."""
    ends = jax.nn.sigmoid(STEEPNESS * jnp.linspace(-1, 1, num + 1))
    return (ends - ends[0]) / (ends[-1] - ends[0])


def _density(model: Model, params: Params, image: X) -> Density:
    prior = model.prior(params)
    shape = jax.eval_shape(prior.sample, jax.random.key(0))
    if not isinstance(shape, jax.ShapeDtypeStruct):
        raise TypeError(
            "Annealing moves one array z; that of a hierarchy has several. Use "
            "log_likelihood."
        )

    def likelihood(z: jax.Array) -> jax.Array:
        return model.decode(params, z).log_prob(image)[:, 0]

    return Density(prior, likelihood)


def _forward(
    key: Key, density: Density, num_chains: int, num: int, num_leapfrog: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Log weights `[C]`, the share of moves accepted, and the step sizes `[T]`."""
    pilot_key, pilot_start, start_key, chain_key = split(key, 4)
    betas = temperatures(num)

    def chain(
        key: Key, z: jax.Array, sizes: jax.Array | None
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        def move(carry: tuple[jax.Array, ...], t: jax.Array) -> tuple[tuple, tuple]:
            z, log_w, size = carry
            size = size if sizes is None else sizes[t]
            log_w += (betas[t + 1] - betas[t]) * density.likelihood(z)
            key_t = jax.random.fold_in(key, t)
            z, accepted = hamiltonian(
                key_t, density, z, betas[t + 1], size, num_leapfrog
            )
            next_size = size * jnp.where(accepted.mean() > TARGET, 1.02, 0.98)
            return (z, log_w, next_size), (size, accepted.mean())

        start = z, jnp.zeros(num_chains), jnp.asarray(FIRST_STEP)
        (_, log_w, _), (used, accepted) = jax.lax.scan(move, start, jnp.arange(num))
        return log_w, accepted.mean(), used

    shape = (num_chains, 1)
    _, _, sizes = chain(pilot_key, density.prior.sample(pilot_start, shape), None)
    return chain(chain_key, density.prior.sample(start_key, shape), sizes)


def _reverse(
    key: Key, density: Density, z: jax.Array, sizes: jax.Array, num_leapfrog: int
) -> jax.Array:
    """Log weights `[C]` of chains from the posterior back to the prior."""
    num = len(sizes)
    betas = temperatures(num)

    def move(carry: tuple[jax.Array, jax.Array], t: jax.Array) -> tuple[tuple, None]:
        z, log_w = carry
        key_t = jax.random.fold_in(key, t)
        z, _ = hamiltonian(key_t, density, z, betas[t + 1], sizes[t], num_leapfrog)
        return (z, log_w - (betas[t + 1] - betas[t]) * density.likelihood(z)), None

    start = z, jnp.zeros(len(z))
    (_, log_w), _ = jax.lax.scan(move, start, jnp.arange(num)[::-1])
    return log_w


def hamiltonian(
    key: Key,
    density: Density,
    z: jax.Array,
    beta: jax.Array | float,
    size: jax.Array | float,
    num_leapfrog: int,
) -> tuple[jax.Array, jax.Array]:
    """A move that leaves f alone and is its own reverse: z, and which chains moved."""
    momentum_key, accept_key = split(key)
    target = functools.partial(density.tempered, beta)
    slope = jax.grad(lambda z: target(z).sum())
    momentum = jax.random.normal(momentum_key, z.shape)

    def leap(_: int, state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, ...]:
        z, momentum = state
        z = z + size * momentum
        return z, momentum + size * slope(z)

    # Half a step, whole steps, and half a step too many that is taken back.
    first = z, momentum + size / 2 * slope(z)
    new, last = jax.lax.fori_loop(0, num_leapfrog, leap, first)
    last = last - size / 2 * slope(new)

    def log_joint(z: jax.Array, momentum: jax.Array) -> jax.Array:
        return target(z) - (momentum**2).sum(axis=(1, 2)) / 2

    gain = log_joint(new, last) - log_joint(z, momentum)  # [C]
    accepted = jnp.log(jax.random.uniform(accept_key, gain.shape)) < gain
    return jnp.where(accepted[:, None, None], new, z), accepted


def _log_mean(log_w: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The log of the mean of weights `[C]`, its error, and the effective number."""
    num = len(log_w)
    w = jnp.exp(log_w - log_w.max())
    ess = w.sum() ** 2 / (w**2).sum()
    error = jnp.sqrt(jnp.maximum(num / ess - 1, 0) / (num - 1))
    return logsumexp(log_w) - jnp.log(num), error, ess


def _check(num_chains: int, *others: int) -> None:
    if num_chains < 2 or min(others) < 1:
        raise ValueError(
            "num_chains must be at least 2 and the other counts at least 1, got "
            f"{num_chains} and {others}."
        )
