"""The expected distortion, for every model, deterministic ones included."""

import functools

import jax
import jax.numpy as jnp

from vaejax.base import ConditionalModel, Key, Model, Params, X
from vaejax.batch import batch_size, example_keys
from vaejax.models import conditioned


@functools.partial(jax.jit, static_argnames=("model", "num_particles", "images"))
def distortion(
    key: Key,
    model: Model | ConditionalModel,
    params: Params,
    x: X,
    num_particles: int = 1,
    *,
    images: int = 64,
) -> jax.Array:
    r"""Estimates :math:`-E_{q(z|x)} \log p(x|z)` of every image, in nats.

    For a deterministic auto-encoder, whose posterior is a point, one particle is exact.
    Where there is no p(x|z), as in MS-SSIM, it is the mean of what stands in its place.

    Args:
      key: a scalar key.
      model: any model; a batch of a `ConditionalModel` is `(x, y)`.
      params: its parameters.
      x: images, a pytree of arrays `[N, ...]`, ready for the likelihood.
      num_particles: how many posterior samples are averaged, at least 1.
      images: how many images are in memory at once.

    Returns:
      The estimates, `[N]`.

    Raises:
      ValueError: if a count is less than 1.
    """
    if min(num_particles, images) < 1:
        raise ValueError(
            "num_particles and images must be at least 1, got "
            f"{num_particles} and {images}."
        )

    def one_image(pair: tuple[X, Key]) -> jax.Array:
        image, key = pair
        image = jax.tree.map(lambda leaf: leaf[None], image)
        own, image = conditioned(model, image)
        z = own.encode(params, image).sample(key[None], (num_particles,))
        p = own.decode(params, z)
        terms = -p.log_prob(image) if p.fits_batch else p.distortion(image)
        return jnp.mean(terms)

    with jax.default_matmul_precision("highest"):
        keys = example_keys(key, batch_size(x))
        return jax.lax.map(one_image, (x, keys), batch_size=images)
