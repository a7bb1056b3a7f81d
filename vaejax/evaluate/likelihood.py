"""Importance-weighted estimates of log p(x), with their errors."""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vaejax.base import (
    ConditionalModel,
    Distribution,
    Key,
    Metrics,
    Model,
    Params,
    X,
    total_rate,
)
from vaejax.batch import batch_size, example_keys
from vaejax.evaluate.memory import in_parts, live_bytes
from vaejax.evaluate.pareto import pareto_k, tail_size
from vaejax.models import conditioned
from vaejax.rates import sampled

MEMORY = 2**23  # bytes; far above, malloc may return freed pages to the system


class Sums(NamedTuple):
    """Running sums over the particles of one image, each `[]`."""

    largest: jax.Array  # log w so far, w = p(x, z) / q(z|x)
    weights: jax.Array  # sum of w over the largest w: no digit is lost to log p(x)
    squares: jax.Array  # sum of their squares
    distortion: jax.Array
    rate: jax.Array
    tail: jax.Array  # the largest log w so far, falling, [M + 1]


def log_likelihood(
    key: Key,
    model: Model | ConditionalModel,
    params: Params,
    x: X,
    num_particles: int = 1000,
    *,
    memory: int | None = None,
) -> tuple[jax.Array, Metrics]:
    r"""The importance-weighted estimate of log p(x) of every image, in nats.

    .. math:: \log \frac1K \sum_k w_k, \quad w_k = \frac{p(x, z_k)}{q(z_k|x)},
              \quad z_k \sim q(z|x)

    One compiled program: the encoder runs once per image, the decoder over chunks of
    particles whose sums stream, as many images and particles at a time as `memory`
    holds. Particle k of image n has a key of its own: that changes nothing but the
    order of a sum.

    The estimate is a lower bound in expectation. Its bias is about
    :math:`-\frac12 \mathrm{Var}(w) / (K\,E[w]^2)`, which `monte_carlo_error**2 / 2`
    estimates; where that is not small against 1 the estimate is not to be trusted.

    Args:
      key: a scalar key.
      model: any model whose posterior has a density; the estimate of a
        `ConditionalModel`, of batches `(x, y)`, is of log p(x|y).
      params: its parameters.
      x: images, a pytree of arrays `[N, ...]`, ready for the likelihood.
      num_particles: K, at least 1.
      memory: bytes, at most, of results and intermediate results, on each device, by
        the compiler's account (a CPU's libraries may take a third more); x and the
        parameters are not counted. Default: 8 MiB beside the results, good on a CPU,
        or what one particle of one image needs. A GPU likes more.

    Returns:
      The estimates `[N]`, and `[N]` each: `elbo`, `distortion` and `rate` (means over
      the same particles), `monte_carlo_error` (the standard deviation of the estimate
      by the delta method; NaN for one particle), `effective_sample_size` and
      `pareto_k`, the shape of the tail of the weights: above 0.7 trust neither the
      estimate nor its error (see `vaejax.evaluate.pareto`; NaN below 21 particles).

    Raises:
      ValueError: if `num_particles` is less than 1, or `memory` too little for one
        particle of one image; the message tells how much that is.
      TypeError: if the posterior has no density (a deterministic auto-encoder).

    References:
      Burda et al., 2016, https://arxiv.org/abs/1509.00519, equation 8.
    """
    if num_particles < 1:
        raise ValueError(f"num_particles must be at least 1, got {num_particles}.")
    tiles = tile(model, params, x, num_particles, memory)
    return tiled(key, model, params, x, num_particles, *tiles)


def tile(
    model: Model | ConditionalModel,
    params: Params,
    x: X,
    num_particles: int,
    memory: int | None,
) -> tuple[int, int]:
    """How many images, and particles of each, are held at once: about as many.

    By `live_bytes` of one image and one particle. Where `memory` is given, and it is
    not called inside another program, the compiled one is asked too: fewer are held if
    it needs more.

    Raises:
      ValueError: if `memory` does not hold one particle of one image.
    """
    arguments = jax.eval_shape(lambda *args: args, params, x)
    leaves, structure = jax.tree.flatten(arguments)
    given = jax.tree.leaves((params, x))
    inside = any(isinstance(leaf, jax.core.Tracer) for leaf in given)
    return _tile(model, structure, tuple(leaves), num_particles, memory, not inside)


@functools.cache
def _tile(
    model: Model | ConditionalModel,
    structure: Any,
    leaves: tuple[jax.ShapeDtypeStruct, ...],
    num_particles: int,
    memory: int | None,
    measure: bool,
) -> tuple[int, int]:
    params, x = jax.tree.unflatten(structure, leaves)
    key = jax.eval_shape(lambda: jax.random.key(0))
    num_images, kept = batch_size(x), tail_size(num_particles)
    one = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((1, *leaf.shape[1:]), leaf.dtype), x
    )
    encode = functools.partial(_posterior, model)
    of_image = live_bytes(encode, params, one) + 20 * kept  # sorted beside others
    posterior = jax.eval_shape(encode, params, one)
    of_particle = live_bytes(
        lambda key, *args: _weigh(key, model, *args),
        *(key, params, one, posterior),
        jax.eval_shape(functools.partial(_prior, model), params, one),
    )
    results = num_images * (4 * len(Sums._fields) + 8)  # and keys
    share = 1.0  # of what is free
    while True:
        free = MEMORY if memory is None else int(share * (memory - results))
        images = min(num_images, math.isqrt(max(free, 0) // of_particle))
        images = max(1, min(images, free // (of_image + of_particle)))
        chunk = min(num_particles, (free // images - of_image) // of_particle)
        if chunk < 1:
            if memory is None:
                return 1, 1
            least = results + of_image + of_particle
            raise ValueError(
                f"memory = {memory} is too little for one particle of one of "
                f"{num_images} images: give about {math.ceil(least / share)} bytes, or "
                "fewer images."
            )
        most = min(num_images, free // (of_image + chunk * of_particle))
        images = _even(num_images, most)
        chunk = min(num_particles, (free // images - of_image) // of_particle)
        if memory is None or not measure:
            return images, chunk
        lowered = tiled.lower(key, model, params, x, num_particles, images, chunk)
        needs = lowered.compile().memory_analysis()
        if needs is None:  # not told on this platform
            return images, chunk
        used = needs.temp_size_in_bytes + needs.output_size_in_bytes
        if used <= memory:
            return images, chunk
        share *= 0.9 * memory / used


@functools.partial(
    jax.jit, static_argnames=("model", "num_particles", "images", "chunk")
)
def tiled(
    key: Key,
    model: Model | ConditionalModel,
    params: Params,
    x: X,
    num_particles: int,
    images: int,
    chunk: int,
) -> tuple[jax.Array, Metrics]:
    """`log_likelihood`, of so many images and particles of each at a time."""
    chunk = min(chunk, num_particles)
    num_chunks, num_tail = -(-num_particles // chunk), tail_size(num_particles)
    block = _block(num_chunks, -(-num_tail // chunk))
    chunk = -(-num_particles // (-(-num_chunks // block) * block))
    prior = _prior(model, params, x)

    def one_image(pair: tuple[X, Key]) -> tuple[jax.Array, Metrics]:
        image, key = pair
        image = jax.tree.map(lambda leaf: leaf[None], image)  # a batch of one
        posterior = _posterior(model, params, image)

        def particle(k: jax.Array) -> tuple[jax.Array, jax.Array]:
            own_key = jax.random.fold_in(key, k)
            return _weigh(own_key, model, params, image, posterior, prior)

        def several(i: jax.Array) -> tuple[jax.Array, jax.Array]:
            return jax.vmap(particle)(i * chunk + jnp.arange(chunk))

        def add(i: jax.Array, sums: Sums) -> Sums:
            which = i * block + jnp.arange(block)  # of the chunks
            distortion, rate = map(jnp.ravel, jax.lax.map(several, which))
            first = i * block * chunk  # the last chunks may be short or empty
            counts = first + jnp.arange(block * chunk) < num_particles
            log_w = jnp.where(counts, -distortion - rate, -jnp.inf)
            largest = jnp.maximum(sums.largest, log_w.max())
            level = jnp.where(largest == -jnp.inf, 0, largest)
            before, w = jnp.exp(sums.largest - level), jnp.exp(log_w - level)
            return Sums(
                largest,
                before * sums.weights + w.sum(),
                before**2 * sums.squares + (w**2).sum(),
                sums.distortion + jnp.sum(distortion, where=counts),
                sums.rate + jnp.sum(rate, where=counts),
                jax.lax.top_k(jnp.append(sums.tail, log_w), num_tail + 1)[0],
            )

        never, zero = jnp.array(-jnp.inf), jnp.zeros(())
        start = Sums(never, zero, zero, zero, zero, jnp.full(num_tail + 1, never))
        sums = jax.lax.fori_loop(0, -(-num_chunks // block), add, start)
        ess = sums.weights**2 / sums.squares
        variance = (num_particles / ess - 1) / (num_particles - 1 or jnp.nan)
        distortion, rate = sums.distortion / num_particles, sums.rate / num_particles
        return sums.largest + jnp.log(sums.weights / num_particles), {
            "elbo": -distortion - rate,
            "distortion": distortion,
            "rate": rate,
            "monte_carlo_error": jnp.sqrt(jnp.maximum(variance, 0)),
            "effective_sample_size": ess,
            "pareto_k": pareto_k(sums.tail) if num_tail else jnp.asarray(jnp.nan),
        }

    # float32 products in full, also where the device would round them (TF32).
    with jax.default_matmul_precision("highest"):
        keys = example_keys(key, batch_size(x))
        return in_parts(one_image, (x, keys), images)


def _prior(model: Model | ConditionalModel, params: Params, x: X) -> Distribution:
    return conditioned(model, x)[0].prior(params)


def _posterior(
    model: Model | ConditionalModel, params: Params, image: X
) -> Distribution:
    own, image = conditioned(model, image)
    return own.encode(params, image)


def _weigh(
    key: Key,
    model: Model | ConditionalModel,
    params: Params,
    image: X,
    posterior: Distribution,
    prior: Distribution,
) -> tuple[jax.Array, jax.Array]:
    """The distortion and rate of one particle of a batch of one image, `[]` each."""
    own, image = conditioned(model, image)
    z, rates = posterior.sample_and_rates(key[None], prior, sampled)
    return -own.decode(params, z).log_prob(image)[0], total_rate(rates)[0]


def _even(total: int, most: int) -> int:
    """How many at a time, from 1 to `most`, so that few are computed twice."""
    times = -(-total // max(1, most))
    return -(-total // max(1, times)) or 1


def _block(num_chunks: int, least: int) -> int:
    """How many chunks between two looks at the tail: as many as it has, or more.

    Of these the number whose multiple is closest above that of all chunks, so that few
    particles are drawn in vain.
    """
    least = min(max(least, 1), num_chunks)
    return min(range(least, 2 * least), key=lambda num: -num_chunks % num)
