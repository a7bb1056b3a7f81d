"""The kernel distance between two sets of features."""

from typing import Any

import numpy as np

from vaejax.evaluate.frechet import Distance, checked


def kernel_distance(a: Any, b: Any, *, num_block: int = 100) -> Distance:
    r"""The squared maximum mean discrepancy of two sets, with a cubic kernel.

    .. math:: k(x, y) = (x \cdot y / F + 1)^3

    The mean over blocks of the U-statistic, in float64: it is unbiased, so equal laws
    have mean 0 and a value may be negative. The error is that of the mean over blocks,
    which are independent.

    Args:
      a: features `[N, F]` of one set.
      b: features `[M, F]` of the other.
      num_block: examples of each set in a block, at least 2; what is left is not used.

    Returns:
      The `Distance`.

    Raises:
      ValueError: if the shapes do not fit, a feature is not finite, or there are fewer
        than two blocks.

    References:
      Binkowski et al., 2018, https://arxiv.org/abs/1801.01401, section 4.
    """
    if num_block < 2:
        raise ValueError(f"num_block must be at least 2, got {num_block}.")
    a, b = checked(a, b, least=2 * num_block)
    num = min(len(a), len(b)) // num_block
    rows = [slice(i * num_block, (i + 1) * num_block) for i in range(num)]
    values = np.array([_u_statistic(a[row], b[row]) for row in rows])
    return Distance(float(values.mean()), float(values.std(ddof=1) / np.sqrt(num)))


def _u_statistic(x: np.ndarray, y: np.ndarray) -> float:
    def kernel(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        return (u @ v.T / x.shape[1] + 1) ** 3

    def others(u: np.ndarray) -> float:
        k = kernel(u, u)
        return (k.sum() - np.trace(k)) / (len(u) * (len(u) - 1))

    return others(x) + others(y) - 2 * kernel(x, y).mean()
