"""How much the encoder loses, and how much the family of its posteriors."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.nn import logsumexp

from vaejax.base import ConditionalModel, Key, Metrics, Model, Params, X, split
from vaejax.batch import batch_size, example_keys
from vaejax.distributions import Normal
from vaejax.models import conditioned


class InferenceGap(NamedTuple):
    """log p(x) - ELBO of every image in two parts, in nats: the same names in both."""

    estimate: Metrics  # each [N]
    standard_error: Metrics  # from the draws, given the best posterior, each [N]
    effective_sample_size: jax.Array  # of log p(x), from 1 to K, [N]


@functools.partial(
    jax.jit,
    static_argnames=(
        "model",
        "num_particles",
        "num_steps",
        "num_fit",
        "images",
        "chunk",
    ),
)
def inference_gap(
    key: Key,
    model: Model | ConditionalModel,
    params: Params,
    x: X,
    num_particles: int = 1000,
    *,
    num_steps: int = 500,
    num_fit: int = 8,
    learning_rate: float = 0.05,
    images: int = 8,
    chunk: int = 64,
) -> InferenceGap:
    r"""The gap of the ELBO, split into amortisation and approximation.

    .. math:: \log p(x) - L[q] = \underbrace{L[q^*] - L[q]}_\text{amortisation}
              + \underbrace{\log p(x) - L[q^*]}_\text{approximation}, \quad
              q^* = \arg\max_{q' \text{ diagonal normal}} L[q']

    The best posterior of each image is fitted by Adam from the encoder's, loc and
    log scale in units of the encoder's scale, the rate falling to 0 along a cosine,
    with the path derivative as gradient. A fit that has not converged counts as
    approximation.

    The K draws of q and of q* share their noise, so that what q and q* have in common
    cancels in the errors. Those of q* weigh log p(x), a lower bound in expectation, so
    that the approximation gap is one too: where `effective_sample_size` is far below K
    neither it nor its error is to be trusted.

    Args:
      key: a scalar key.
      model: one whose posterior is a diagonal normal; a batch of a `ConditionalModel`
        is `(x, y)`.
      params: its parameters.
      x: images, a pytree of arrays `[N, ...]`, ready for the likelihood.
      num_particles: K, at least 2.
      num_steps: of Adam, at least 1.
      num_fit: draws for each of its gradients, at least 1.
      learning_rate: of its first step; may be traced.
      images: how many images are in memory at once.
      chunk: how many of the K draws of each.

    Returns:
      An `InferenceGap`: `elbo`, `best_elbo`, `log_likelihood`, `amortization_gap`,
      `approximation_gap` and their sum `inference_gap`, with errors.

    Raises:
      ValueError: if a count is out of its range.
      TypeError: if the posterior is not a diagonal normal.

    References:
      Cremer et al., 2018, https://arxiv.org/abs/1801.03558, section 3.
      Roeder et al., 2017, https://arxiv.org/abs/1703.09194 (the gradient).
    """
    _check(
        num_particles, num_steps=num_steps, num_fit=num_fit, images=images, chunk=chunk
    )

    def one_image(pair: tuple[X, Key]) -> InferenceGap:
        image, key = pair
        own, image = conditioned(model, jax.tree.map(lambda leaf: leaf[None], image))
        q = _normal(own.encode(params, image))
        log_w = functools.partial(_log_weight, own, params, image)
        fit_key, draw_key = split(key)
        best = _fit(fit_key, q, log_w, num_steps, num_fit, learning_rate)

        def draw(k: jax.Array) -> tuple[jax.Array, jax.Array]:
            key = jax.random.fold_in(draw_key, k)
            eps = jax.random.normal(key, (1, *q.loc.shape))
            return log_w(q, eps)[0], log_w(best, eps)[0]

        draws = jax.lax.map(draw, jnp.arange(num_particles), batch_size=chunk)
        return _gaps(*draws)

    with jax.default_matmul_precision("highest"):
        keys = example_keys(key, batch_size(x))
        return jax.lax.map(one_image, (x, keys), batch_size=images)


def _log_weight(
    model: Model, params: Params, x: X, q: Normal, eps: jax.Array
) -> jax.Array:
    """Log p(x, z) - log q(z) of one image, z = loc + scale eps `[S, 1, D]`: `[S]`."""
    z = q.loc + q.scale * eps
    log_q = jax.lax.stop_gradient(q).log_prob(z)  # the gradient flows through z alone
    log_p = model.decode(params, z).log_prob(x) + model.prior(params).log_prob(z)
    return (log_p - log_q)[:, 0]


def _fit(
    key: Key, q: Normal, log_w: Any, num_steps: int, num_fit: int, rate: float
) -> Normal:
    """The member of the family with the highest ELBO, near q."""
    schedule = optax.cosine_decay_schedule(1.0, num_steps)
    adam = optax.chain(optax.adam(1.0), optax.scale_by_schedule(schedule))

    def member(moves: tuple[jax.Array, jax.Array]) -> Normal:
        shift, stretch = moves
        return Normal(q.loc + shift * q.scale, q.scale * jnp.exp(stretch))

    def step(carry: Any, i: jax.Array) -> tuple[Any, None]:
        moves, state = carry
        eps_key = jax.random.fold_in(key, i)
        eps = jax.random.normal(eps_key, (num_fit, *q.loc.shape))
        gradient = jax.grad(lambda moves: -log_w(member(moves), eps).mean())(moves)
        updates, state = adam.update(gradient, state)
        updates = jax.tree.map(lambda leaf: rate * leaf, updates)
        return (optax.apply_updates(moves, updates), state), None

    start = (jnp.zeros_like(q.loc), jnp.zeros_like(q.loc))
    (moves, _), _ = jax.lax.scan(step, (start, adam.init(start)), jnp.arange(num_steps))
    return member(moves)


def _gaps(log_w: jax.Array, best: jax.Array) -> InferenceGap:
    """All estimates and errors from the log weights of q and q*, `[K]` each."""
    num = best.shape[0]
    relative = jax.nn.softmax(best) * num  # w over its mean
    log_p = logsumexp(best) - jnp.log(num)
    # Of each estimate the term of one draw; that of log p(x) by the delta method.
    each = {
        "elbo": log_w,
        "best_elbo": best,
        "log_likelihood": log_p + relative - 1,
        "amortization_gap": best - log_w,
        "approximation_gap": (log_p - best) + (relative - 1),
        "inference_gap": (log_p - log_w) + (relative - 1),
    }
    errors = {n: term.std(ddof=1) / jnp.sqrt(num) for n, term in each.items()}
    means = {n: term.mean() for n, term in each.items()}
    return InferenceGap(means, errors, num**2 / (relative**2).sum())


def _normal(posterior: Any) -> Normal:
    if not isinstance(posterior, Normal) or posterior.event_ndims != 1:
        raise TypeError(
            "The best posterior is sought among diagonal normals, and this one is a "
            f"{type(posterior).__name__}: use posteriors.diagonal_normal."
        )
    loc, scale = jnp.broadcast_arrays(posterior.loc, posterior.scale)
    return Normal(loc, scale)


def _check(num_particles: int, **counts: int) -> None:
    if num_particles < 2:
        raise ValueError(f"num_particles must be at least 2, got {num_particles}.")
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} must be at least 1, got {count}.")
