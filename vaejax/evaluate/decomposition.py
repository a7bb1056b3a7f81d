"""The ELBO in three parts: distortion, mutual information, and marginal KL."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import logsumexp

from vaejax.base import Distribution, Key, Metrics, Model, Params, X
from vaejax.batch import Shared, batch_size, example_keys
from vaejax.distributions.pairwise import pairwise_log_prob
from vaejax.models import unconditional


class Decomposition(NamedTuple):
    """The parts of the negative ELBO, in nats: the same names in every field."""

    mean: Metrics  # over images, each []
    standard_error: Metrics  # of the mean, from the draws, each []
    per_image: Metrics  # means over the draws of one image, each [N]


@functools.partial(
    jax.jit, static_argnames=("model", "num_particles", "images", "chunk")
)
def elbo_decomposition(
    key: Key,
    model: Model,
    params: Params,
    x: X,
    num_particles: int = 16,
    *,
    images: int = 64,
    chunk: int = 512,
) -> Decomposition:
    r"""The negative ELBO of N images as distortion, information and marginal KL.

    .. math:: -\log p(x_n|z) + \log \frac{q(z|x_n)}{q(z)} + \log \frac{q(z)}{p(z)},
              \quad z \sim q(z|x_n), \quad q(z) = \frac1N \sum_m q(z|x_m)

    The means are the distortion, the mutual information I(n; z) of the index of an
    image and its code, from 0 to log N, and KL(q(z) || p(z)). The mixture is that of
    all N images, with no bias of a minibatch. The last two add up to the rate, all
    three to -ELBO, draw by draw.

    The errors are those of the draws, given the images: the standard deviation of
    the mean over N independent means of K draws each.

    Args:
      key: a scalar key.
      model: one whose posterior has a density.
      params: its parameters.
      x: images, a pytree of arrays `[N, ...]`, ready for the likelihood.
      num_particles: K, draws of z for each image, at least 1.
      images: how many images are in memory at once.
      chunk: under how many posteriors their draws have densities at once.

    Returns:
      A `Decomposition` whose fields hold `distortion`, `mutual_information`,
      `marginal_kl`, `rate` and `elbo`. The errors are NaN for one particle.

    Raises:
      ValueError: if a count is less than 1.
      TypeError: if the latents are not one array, as in a hierarchy, the posterior has
        no density at foreign points, or the model waits for a condition.

    References:
      Hoffman and Johnson, 2016, ELBO surgery,
      https://approximateinference.org/accepted/HoffmanJohnson2016.pdf.
    """
    if min(num_particles, images, chunk) < 1:
        raise ValueError(
            "num_particles, images and chunk must be at least 1, got "
            f"{num_particles}, {images} and {chunk}."
        )
    model = unconditional(model, "elbo_decomposition")

    def one_image(pair: tuple[X, Key]) -> Metrics:
        image, key = jax.tree.map(lambda leaf: leaf[None], pair)  # a batch of one
        posterior = model.encode(params, image)
        z, log_q = posterior.sample_and_log_prob(key, (num_particles,))  # [K, 1, D]
        log_marginal = _log_mixture(posteriors, z[:, 0], chunk)  # [K]
        log_p, log_q = model.prior(params).log_prob(z)[:, 0], log_q[:, 0]
        distortion = -model.decode(params, z).log_prob(image)[:, 0]
        return {
            "distortion": distortion,
            "mutual_information": log_q - log_marginal,
            "marginal_kl": log_marginal - log_p,
            "rate": log_q - log_p,
            "elbo": log_p - log_q - distortion,
        }

    with jax.default_matmul_precision("highest"):
        _check_one_array(key, model, params, x)
        posteriors = _encode(model, params, x, images)
        keys = example_keys(key, batch_size(x))
        terms = jax.lax.map(one_image, (x, keys), batch_size=images)  # [N, K] each
    means = jax.tree.map(lambda term: term.mean(axis=1), terms)
    return Decomposition(
        jax.tree.map(jnp.mean, means), jax.tree.map(_error, terms), means
    )


def _check_one_array(key: Key, model: Model, params: Params, x: X) -> None:
    def draw(key: Key) -> Any:
        image = jax.tree.map(lambda leaf: leaf[:1], x)
        return model.encode(params, image).sample(key)

    z = jax.eval_shape(draw, key)
    if not isinstance(z, jax.ShapeDtypeStruct):
        raise TypeError(
            "The decomposition needs codes that are one array for each image, and this "
            f"model has {jax.tree.structure(z)}: use vaejax.evaluate.log_likelihood "
            "for its distortion and rate."
        )


def _shared(leaf: Any) -> bool:
    return isinstance(leaf, Shared)


def _encode(model: Model, params: Params, x: X, images: int) -> Distribution:
    """All posteriors, of batch shape `[N]`, from the encoder in parts."""

    def rows(distribution: Distribution) -> Distribution:
        return jax.tree.map(
            lambda leaf: None if _shared(leaf) else leaf[0],
            distribution,
            is_leaf=_shared,
        )

    def one(example: X) -> Distribution:
        return model.encode(params, jax.tree.map(lambda leaf: leaf[None], example))

    first = one(jax.tree.map(lambda leaf: leaf[0], x))
    every = jax.lax.map(lambda example: rows(one(example)), x, batch_size=images)
    return jax.tree.map(
        lambda leaf, all_rows: leaf if _shared(leaf) else all_rows,
        first,
        every,
        is_leaf=_shared,
    )


def _log_mixture(posteriors: Distribution, z: jax.Array, chunk: int) -> jax.Array:
    r"""Log :math:`\frac1N \sum_m q(z|x_m)` of codes `[K, D]`: `[K]`."""
    leaves = jax.tree.leaves(posteriors, is_leaf=_shared)
    num = next(leaf.shape[0] for leaf in leaves if not _shared(leaf))
    size = min(chunk, num)

    def add(i: jax.Array, total: jax.Array) -> jax.Array:
        index = i * size + jnp.arange(size)
        some = jax.tree.map(
            lambda leaf: leaf if _shared(leaf) else leaf[jnp.minimum(index, num - 1)],
            posteriors,
            is_leaf=_shared,
        )
        log_q = pairwise_log_prob(some, z)  # [K, chunk]
        log_q = jnp.where(index < num, log_q, -jnp.inf)  # the last chunk may be short
        return jnp.logaddexp(total, logsumexp(log_q, axis=-1))

    start = jnp.full(z.shape[:1], -jnp.inf)
    total = jax.lax.fori_loop(0, -(-num // size), add, start)
    return total - jnp.log(num)


def _error(term: jax.Array) -> jax.Array:
    """The standard deviation of the mean of `[N, K]`, rows being strata."""
    num, num_particles = term.shape
    if num_particles == 1:
        return jnp.array(jnp.nan)
    variance = term.var(axis=1, ddof=1) / num_particles  # [N]
    return jnp.sqrt(variance.sum()) / num
