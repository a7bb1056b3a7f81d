"""Are two sets draws of one law? A permutation test by a kernel."""

import functools
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from vaejax.base import Key
from vaejax.mmd import rbf


class TwoSampleTest(NamedTuple):
    """What `two_sample_test` found, each `[]`."""

    p_value: jax.Array
    statistic: jax.Array  # the unbiased estimate of the MMD^2
    bandwidth: jax.Array  # sigma of the kernel


@functools.partial(jax.jit, static_argnames=("num_permutations", "chunk"))
def two_sample_test(
    key: Key,
    x: jax.Array,
    y: jax.Array,
    num_permutations: int = 999,
    *,
    chunk: int = 64,
) -> TwoSampleTest:
    r"""Tests that x and y are draws of one law, by their maximum mean discrepancy.

    The kernel is :math:`\exp(-|x - y|^2 / 2\sigma^2)`, :math:`\sigma` the median
    distance between two different rows of x and y together. The statistic is compared
    with those of P random divisions of the rows into sets of the same sizes,

    .. math:: p = \frac{1 + \#\{\text{divisions with at least its MMD}^2\}}{1 + P},

    so under one law :math:`\Pr(p \le \alpha) \le \alpha`, exactly, for any number of
    rows. It is a test of rows that are independent; P bounds p below by 1 / (1 + P).

    Args:
      key: a scalar key.
      x: features or examples `[N, F]`, at least 2.
      y: `[M, F]`, at least 2.
      num_permutations: P, at least 1.
      chunk: how many divisions are in memory at once; the kernel, `[N + M, N + M]`, is
        there all the time.

    Returns:
      A `TwoSampleTest`; of features that are not finite, NaN.

    Raises:
      AssertionError: if x and y are not two matrices of one width.
      ValueError: if there are too few rows or a count is less than 1.

    References:
      Gretton et al., 2012, A kernel two-sample test, JMLR 13.
    """
    chex.assert_rank([x, y], 2)
    chex.assert_equal_shape_suffix([x, y], 1)
    if min(len(x), len(y)) < 2:
        raise ValueError(f"Each set needs 2 rows, got {len(x)} and {len(y)}.")
    if min(num_permutations, chunk) < 1:
        raise ValueError(
            "num_permutations and chunk must be at least 1, got "
            f"{num_permutations} and {chunk}."
        )
    kernel, bandwidth = _gram(jnp.concatenate([x, y]).astype(jnp.float32))
    given = jnp.arange(len(kernel)) < len(x)

    def divided(key: Key) -> jax.Array:
        return _statistic(kernel, jax.random.permutation(key, given), len(x))

    statistic = _statistic(kernel, given, len(x))
    keys = jax.random.split(key, num_permutations)
    others = jax.lax.map(divided, keys, batch_size=chunk)
    # The same division sums in another order: what rounding alone sets apart is equal.
    exceed = others >= statistic - 1e-6 * kernel.max()
    p_value = (1 + exceed.sum()) / (1 + num_permutations)
    p_value = jnp.where(jnp.isfinite(statistic), p_value, jnp.nan)
    return TwoSampleTest(p_value, statistic, bandwidth)


def _gram(rows: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The kernel `[N, N]` with zeros on its diagonal, and its sigma."""
    squared = jax.lax.map(lambda row: ((rows - row) ** 2).sum(axis=-1), rows)
    above = jnp.triu_indices(len(rows), 1)
    bandwidth = jnp.median(jnp.sqrt(squared[above]))
    # Where half of the rows are copies: any kernel that tells copies from others.
    width = jnp.maximum(2 * bandwidth**2, jnp.finfo(jnp.float32).tiny)
    return rbf(squared / width, 1.0) * (1 - jnp.eye(len(rows))), bandwidth


def _statistic(kernel: jax.Array, first: jax.Array, num: int) -> jax.Array:
    """The unbiased MMD^2 of the `num` rows that are `first` `[N]` and the others."""
    rest = len(kernel) - num
    x, y = first.astype(kernel.dtype), (~first).astype(kernel.dtype)
    to_x, to_y = (jnp.matmul(kernel, to, precision="highest") for to in (x, y))
    within = x @ to_x / (num * (num - 1)) + y @ to_y / (rest * (rest - 1))
    return within - 2 * (x @ to_y) / (num * rest)
