"""The kernel distance between two sets of features: unbiased, with an error."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vaejax.evaluate.measurement import Measurement
from vaejax.mmd import u_statistic


def kernel_distance(
    a: Any, b: Any, *, num_blocks: int = 10, sha256: str | None = None
) -> Measurement:
    r"""The squared maximum mean discrepancy with a cubic kernel, which is the KID.

    .. math:: k(x, y) = (x \cdot y / F + 1)^3

    It compares the first three moments, and its expectation does not depend on the
    numbers of rows: it may be negative. It is the mean over `num_blocks` blocks of the
    unbiased statistic; no row is in two blocks, so they are independent, and the
    standard error is that of their mean. What the blocks leave over is not looked at.

    Args:
      a: features `[N, F]`, rows in no order.
      b: features `[M, F]`; every block has `min(N, M) // num_blocks` rows of each.
      num_blocks: at least 2. The fewer the sharper, and the less sure the error.
      sha256: of what made the features, which the result carries.

    Returns:
      A `Measurement`, computed in float64.

    Raises:
      ValueError: if the features are not two matrices of one width, are not finite, or
        there are fewer than 2 rows for a block.

    References:
      Bińkowski et al., 2018, https://arxiv.org/abs/1801.01401.
    """
    a, b = (np.asarray(rows, np.float64) for rows in (a, b))
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(
            f"Features must be [N, F] and [M, F], got {a.shape} and {b.shape}: flatten "
            "them, or give both the same network."
        )
    if num_blocks < 2:
        raise ValueError(f"num_blocks must be at least 2, got {num_blocks}.")
    size = min(len(a), len(b)) // num_blocks
    if size < 2:
        raise ValueError(
            f"{num_blocks} blocks need {2 * num_blocks} rows of each set, got {len(a)} "
            f"and {len(b)}: give more, or lower num_blocks."
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("Features must be finite, got some that are not.")
    # Block i has the rows i, i + num_blocks, ... of both sets.
    a, b = (rows[: num_blocks * size].reshape(size, num_blocks, -1) for rows in (a, b))
    with jax.enable_x64(True):  # the distance is a small difference of large means
        values = np.asarray(_of_blocks(a.swapaxes(0, 1), b.swapaxes(0, 1)))
    error = values.std(ddof=1) / math.sqrt(num_blocks)
    return Measurement(float(values.mean()), float(error), sha256)


def cubic(x: jax.Array, y: jax.Array) -> jax.Array:
    """The kernel, `[N, F], [M, F] -> [N, M]`."""
    return (jnp.matmul(x, y.T, precision="highest") / x.shape[-1] + 1) ** 3


@jax.jit
def _of_blocks(a: jax.Array, b: jax.Array) -> jax.Array:
    """The statistic of each block, `[num_blocks]`, one at a time in memory."""
    statistic = functools.partial(u_statistic, cubic)
    return jax.lax.map(lambda pair: statistic(*pair), (a, b))
