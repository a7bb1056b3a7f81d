"""Which component of a mixture prior an example belongs to."""

import functools

import jax

from vaejax.base import Key, Model, Params, X
from vaejax.batch import batch_size, example_keys
from vaejax.models import unconditional


@functools.partial(jax.jit, static_argnames=("model", "num_particles", "images"))
def cluster_probabilities(
    key: Key,
    model: Model,
    params: Params,
    x: X,
    num_particles: int = 16,
    *,
    images: int = 64,
) -> jax.Array:
    r"""The probability of every cluster, :math:`q(c|x) = E_{q(z|x)}[p(c|z)]`.

    Args:
      key: a scalar key.
      model: any whose prior has components: `priors.mixture`, `priors.vamp`.
      params: its parameters.
      x: examples, a pytree of arrays `[N, ...]`.
      num_particles: codes drawn for each, at least 1.
      images: how many examples are in memory at once.

    Returns:
      `[N, K]`; the cluster of an example is its argmax.

    Raises:
      TypeError: if the prior has no components, or the model waits for a condition.
      ValueError: if a count is less than 1.

    References:
      Jiang et al., 2017, https://arxiv.org/abs/1611.05148, equation 16.
    """
    if min(num_particles, images) < 1:
        raise ValueError(
            "num_particles and images must be at least 1, got "
            f"{num_particles} and {images}."
        )
    prior = unconditional(model, "cluster_probabilities").prior(params)
    responsibilities = getattr(prior, "responsibilities", None)
    if responsibilities is None:
        raise TypeError(
            f"A prior that is a {type(prior).__name__} has no clusters: train with "
            "priors.mixture (on the command line, --prior mixture)."
        )

    def one(pair: tuple[X, Key]) -> jax.Array:
        example, key = pair
        batch = jax.tree.map(lambda leaf: leaf[None], example)
        z = model.encode(params, batch).sample(key[None], (num_particles,))
        return responsibilities(z).mean(axis=0)[0]  # [P, 1, K] -> [K]

    keys = example_keys(key, batch_size(x))
    return jax.lax.map(one, (x, keys), batch_size=images)
