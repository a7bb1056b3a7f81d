"""The auto-encoder whose codes meet the prior along random directions."""

import math

import chex
import jax
import jax.numpy as jnp

from vaejax.base import Key, Metrics, Model, Objective, Params, X, split
from vaejax.batch import global_batch, global_key
from vaejax.checks import check_weights


def sliced_distance(
    directions: jax.Array, x: jax.Array, y: jax.Array, order: float
) -> jax.Array:
    """The p-th power of the Wasserstein-p distance of two sets, sliced: `[]`.

    On a line the best match of two sets is in order of size.

    Args:
      directions: unit vectors to average over, `[L, D]`.
      x: one set, `[N, D]`.
      y: the other, `[N, D]`.
      order: p, at least 1.
    """
    chex.assert_equal_shape([x, y])
    x, y = jnp.sort(directions @ x.T), jnp.sort(directions @ y.T)  # each [L, N]
    return (jnp.abs(x - y) ** order).mean()


def sliced_wasserstein(
    *, weight: float = 10.0, num_projections: int = 50, order: int = 2
) -> Objective:
    r"""Distortion, and the sliced Wasserstein distance of q(z) and p(z).

    .. math:: -\log p(x|z) + \frac{\lambda}{LB} \sum_{l=1}^L \sum_{b=1}^B
              \big| (\theta_l^\top z)_{(b)} - (\theta_l^\top \tilde z)_{(b)} \big|^p,
              \quad z \sim q(z|x), \; \tilde z \sim p(z)

    :math:`(\cdot)_{(b)}` is the b-th in size over the global batch, and the directions
    :math:`\theta_l` are uniform on the sphere. The posterior needs no density:
    `point_mass` is the paper's deterministic encoder. `weight=0` is `reconstruction()`.

    The discrepancy reaches a learned prior through its draws; the weights of a mixture,
    which decide where a draw comes from, get no gradient from it.

    Args:
      weight: lambda; may be traced.
      num_projections: L, directions drawn in a step, at least 1.
      order: p, at least 1.

    Returns:
      An `Objective`: loss `[B]` in nats; metrics `distortion` and `sliced_wasserstein`,
      the distance to the p-th power, which is the same for all examples: each `[B]`.

    Raises:
      ValueError: if a Python `weight` is negative, or another argument less than 1.

    References:
      Kolouri et al., 2019, https://arxiv.org/abs/1804.01947.
    """
    check_weights(weight=weight)
    if num_projections < 1 or not 1 <= order < math.inf:
        raise ValueError(
            "num_projections and order must be at least 1, got "
            f"{num_projections} and {order}."
        )

    def loss(key: Key, model: Model, params: Params, x: X) -> tuple[jax.Array, Metrics]:
        z_key, prior_key, direction_key = split(key, 3)
        z = model.encode(params, x).sample(z_key)  # [b, D]
        draws = model.prior(params).sample(prior_key)
        distortion = model.decode(params, z).distortion(x)
        shape = (num_projections, z.shape[-1])
        normal = jax.random.normal(global_key(direction_key), shape)
        directions = normal / jnp.linalg.norm(normal, axis=-1, keepdims=True)
        distance = sliced_distance(directions, *global_batch((z, draws)), order)  # []
        distance = jnp.broadcast_to(distance, distortion.shape)
        metrics = {"distortion": distortion, "sliced_wasserstein": distance}
        return distortion + weight * distance, metrics

    return Objective(loss)
