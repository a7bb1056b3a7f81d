"""Precision, recall, density and coverage: what of one set lies near another."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vaejax.evaluate.measurement import Measurement


def coverage(
    real: Any,
    generated: Any,
    *,
    num_neighbors: int = 5,
    num_groups: int = 10,
    rows: int = 32,
    sha256: str | None = None,
) -> dict[str, Measurement]:
    r"""How much of the one set is near the other, by balls about each point.

    The ball of a point reaches to its k-th nearest neighbor in its own set, and
    includes its rim.

    - `precision`: the share of generated points that lie in the ball of a real one;
    - `recall`: the share of real points that lie in the ball of a generated one;
    - `density`: in how many balls of real points a generated one lies, over k;
    - `coverage`: the share of real points in whose own ball a generated one lies.

    For N real and M generated points of one law, without ties, whatever the law,

    .. math:: E[\text{density}] = 1, \quad E[\text{coverage}]
              = 1 - \prod_{j=1}^k \frac{N - j}{N + M - j}.

    Precision and recall have no such value: compare sets of the same sizes.

    Standard errors are a jackknife over groups: each tenth of one set is left out in
    its turn, and then of the other. Of neighbors it tells too much rather than too
    little: between 1.1 and 2.5 times the spread over draws of normals.

    Args:
      real: features `[N, F]`, rows in no order.
      generated: features `[M, F]`.
      num_neighbors: k, at least 1.
      num_groups: of each set, at least 2.
      rows: how many points are compared with a whole set at once.
      sha256: of what made the features, which the results carry.

    Returns:
      The four by name, each a `Measurement`; the larger the better.

    Raises:
      ValueError: if the features are not two matrices of one width, are not finite, a
        count is too small, or a group leaves fewer than k + 1 points.

    References:
      Kynkäänniemi et al., 2019, https://arxiv.org/abs/1904.06991.
      Naeem et al., 2020, https://arxiv.org/abs/2002.09797.
    """
    real, generated = (np.asarray(x, np.float32) for x in (real, generated))
    _check(real, generated, num_neighbors, num_groups, rows)
    values = _values(real, generated, num_neighbors, num_groups, rows)

    def measured(name: str) -> Measurement:
        whole, *without = np.split(
            np.asarray(values[name], np.float64), [1, num_groups + 1]
        )
        # (G - 1) / G times the sum of squares about the mean, for each of the two sets.
        variance = (num_groups - 1) * sum(np.var(part) for part in without)
        return Measurement(float(whole[0]), math.sqrt(variance), sha256)

    return {name: measured(name) for name in values}


@functools.partial(jax.jit, static_argnames=("num_neighbors", "num_groups", "rows"))
def _values(
    real: jax.Array,
    generated: jax.Array,
    num_neighbors: int,
    num_groups: int,
    rows: int,
) -> dict[str, jax.Array]:
    """Each `[1 + 2 G]`: of all points, without a group of real, of generated ones."""
    keep_real, keep_generated = (_keep(len(x), num_groups) for x in (real, generated))
    balls = _balls(real, num_neighbors, num_groups, rows)  # [N, 1 + G]
    others = _balls(generated, num_neighbors, num_groups, rows)  # [M, 1 + G]

    def of_generated(y: jax.Array) -> jax.Array:
        inside = (_squared(real, y)[:, None] <= balls) & keep_real
        return inside.sum(axis=0)  # [1 + G]

    def of_real(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        squared = _squared(generated, x)[:, None]
        inside = (squared <= others) & keep_generated
        return inside.any(axis=0), jnp.where(keep_generated, squared, jnp.inf).min(
            axis=0
        )

    counts = jax.lax.map(of_generated, generated, batch_size=rows)  # [M, 1 + G]
    recalled, nearest = jax.lax.map(of_real, real, batch_size=rows)  # [N, 1 + G]

    def over_generated(of: jax.Array) -> jax.Array:  # [M, 1 + G], without real groups
        return jnp.concatenate([of.mean(axis=0), _mean(of[:, :1], keep_generated)[1:]])

    def over_real(of: jax.Array, own: jax.Array) -> jax.Array:
        # `of` without groups of generated points; `own` without those of real ones.
        return jnp.concatenate([_mean(own, keep_real), of.mean(axis=0)[1:]])

    return {
        "precision": over_generated(counts > 0),
        "recall": over_real(recalled, recalled[:, :1]),
        "density": over_generated(counts / num_neighbors),
        "coverage": over_real(nearest <= balls[:, :1], nearest[:, :1] <= balls),
    }


def _balls(x: jax.Array, num_neighbors: int, num_groups: int, rows: int) -> jax.Array:
    """Squared radii `[N, 1 + G]`: among all, then among all but each group."""
    num_rounds = -(-len(x) // num_groups)
    missing = num_rounds * num_groups - len(x)  # of the last round
    other = ~jnp.eye(num_groups, dtype=bool)
    keep = jnp.concatenate([jnp.ones_like(other[:1]), other])[
        ..., None
    ]  # [1 + G, G, 1]

    def ball(i: jax.Array) -> jax.Array:
        others = _squared(x, x[i]).at[i].set(jnp.inf)
        others = jnp.pad(others, (0, missing), constant_values=jnp.inf)
        groups = others.reshape(num_rounds, num_groups).T
        nearest = _smallest(groups, min(num_neighbors, num_rounds))  # [G, k]
        kept = jnp.where(keep, nearest, jnp.inf).reshape(1 + num_groups, -1)
        return _smallest(kept, num_neighbors)[:, -1]

    return jax.lax.map(ball, jnp.arange(len(x)), batch_size=rows)


def _smallest(x: jax.Array, num: int) -> jax.Array:
    """The smallest of the last axis, in order."""
    return -jax.lax.top_k(-x, num)[0]


def _mean(of: jax.Array, keep: jax.Array) -> jax.Array:
    """Over the points kept, `[1 + G]`."""
    return (of * keep).sum(axis=0) / keep.sum(axis=0)


def _keep(num: int, num_groups: int) -> jax.Array:
    """`[num, 1 + G]`: all, then all but each group."""
    group = jnp.arange(num) % num_groups
    return group[:, None] != jnp.arange(-1, num_groups)


def _squared(x: jax.Array, y: jax.Array) -> jax.Array:
    """Squared distances `[N]` of the rows of x from y, in the order of its features."""
    return ((x - y) ** 2).sum(axis=-1)


def _check(
    real: np.ndarray,
    generated: np.ndarray,
    num_neighbors: int,
    num_groups: int,
    rows: int,
) -> None:
    if real.ndim != 2 or generated.ndim != 2 or real.shape[1] != generated.shape[1]:
        raise ValueError(
            f"Features must be [N, F] and [M, F], got {real.shape} and "
            f"{generated.shape}: flatten them, or give both the same network."
        )
    if num_neighbors < 1 or num_groups < 2 or rows < 1:
        raise ValueError(
            "num_neighbors and rows must be at least 1 and num_groups at least 2, got "
            f"{num_neighbors}, {rows} and {num_groups}."
        )
    for x in (real, generated):
        if len(x) - -(-len(x) // num_groups) <= num_neighbors:
            raise ValueError(
                f"{len(x)} points less one of {num_groups} groups have no "
                f"{num_neighbors} neighbors each: give more, or lower num_neighbors."
            )
        if not np.isfinite(x).all():
            raise ValueError("Features must be finite, got some that are not.")
