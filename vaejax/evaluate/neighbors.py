"""The training examples nearest to samples: which were learnt by heart?"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Neighbors(NamedTuple):
    """The nearest first."""

    indices: jax.Array  # of rows of the training set, `[N, num_neighbors]`
    distances: jax.Array  # Euclidean, `[N, num_neighbors]`


@functools.partial(jax.jit, static_argnames=("num_neighbors", "images"))
def nearest_neighbors(
    x: jax.Array, train: jax.Array, *, num_neighbors: int = 1, images: int = 64
) -> Neighbors:
    """The nearest training examples of each sample.

    All pairs are compared by matrix products, and the distances of those found are
    then computed anew from differences: that of a copy is exactly 0.

    Args:
      x: samples `[N, ...]`: images, of any shape and dtype, or their features.
      train: training examples `[M, ...]` of the same shape and in the same units.
      num_neighbors: k, of each.
      images: how many samples are compared with the whole training set at once.

    Returns:
      `Neighbors`; on the device `images * M` distances are in memory.

    Raises:
      ValueError: if the shapes differ, or there are not `num_neighbors` examples.
    """
    if x.shape[1:] != train.shape[1:]:
        raise ValueError(
            f"Samples are of shape {x.shape[1:]} and training examples of "
            f"{train.shape[1:]}: give both alike."
        )
    if not 1 <= num_neighbors <= len(train) or images < 1:
        raise ValueError(
            f"num_neighbors must be from 1 to the {len(train)} training examples and "
            f"images at least 1, got {num_neighbors} and {images}."
        )
    x, train = (
        jnp.asarray(rows, jnp.float32).reshape(len(rows), int(np.prod(rows.shape[1:])))
        for rows in (x, train)
    )
    middle = train.mean(axis=0)  # about which fewest digits cancel
    centred = train - middle
    half_norms = 0.5 * (centred**2).sum(axis=-1)  # [M]

    def one(sample: jax.Array) -> Neighbors:
        # Nearest means the largest x.t - |t|^2 / 2; |x|^2 is the same for all t.
        near = jnp.matmul(centred, sample - middle, precision="highest") - half_norms
        _, index = jax.lax.top_k(near, num_neighbors)
        distance = jnp.sqrt(((train[index] - sample) ** 2).sum(axis=-1))
        order = jnp.argsort(distance)
        return Neighbors(index[order], distance[order])

    return jax.lax.map(one, x, batch_size=images)
