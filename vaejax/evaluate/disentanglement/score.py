"""What a score of disentanglement is, its standard error, and what it is given."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Score(NamedTuple):
    """An estimate from examples, with its standard error."""

    value: np.ndarray  # []
    error: np.ndarray  # [], standard error
    parts: np.ndarray  # what `value` is a mean of: the function says


def checked(codes: Any, factors: Any) -> tuple[np.ndarray, np.ndarray]:
    """Codes `[N, D]` in float64, and of factors `[N, F]` those that vary, as places.

    A factor becomes the place of its value among those that occur, from 0 on: gaps
    between the integers mean nothing. One that has a single value is left out.

    Raises:
      ValueError: if the shapes do not fit, a code is not finite, a factor is not an
        integer, or no factor varies.
    """
    z, v = np.asarray(codes, np.float64), np.asarray(factors)
    if z.ndim != 2 or v.ndim != 2 or len(z) != len(v) or not z.size:
        raise ValueError(
            "codes must be [N, D] and factors [N, F] of the same N examples, got "
            f"{z.shape} and {v.shape}."
        )
    if not np.isfinite(z).all():
        raise ValueError("codes must be finite: leave out the examples that are not.")
    if v.dtype.kind not in "iub":
        raise ValueError(
            f"factors must be integers, the index of each value, got {v.dtype}."
        )
    places = [np.unique(column, return_inverse=True)[1] for column in v.T]
    varying = [place for place in places if place.any()]
    if not varying:
        raise ValueError("At least one factor must vary, got only constant columns.")
    return z, np.stack(varying, axis=1)


def jackknife(
    statistic: Callable[..., np.ndarray], *arrays: np.ndarray, num_groups: int
) -> np.ndarray:
    r"""The standard error of `statistic(*arrays)` by the delete-a-group jackknife.

    .. math:: \sqrt{\frac{G - 1}{G} \sum_g (T_g - \bar T)^2}

    with T_g from all examples but those of group g. It is 0.95 to 1.6 times the spread
    of these scores over data sets (measured): too large, rather than too small, where a
    score has corners, as maxima and absolute values have. The groups are those of a
    fixed permutation: the order of the examples, often that of a grid, does not matter.

    Args:
      statistic: of arrays `[n, ...]`, any shape.
      *arrays: the examples, `[N, ...]` each.
      num_groups: G, from 2 to N.

    Raises:
      ValueError: if `num_groups` is not from 2 to N.

    References:
      Efron and Tibshirani, 1993, An Introduction to the Bootstrap, chapter 11.
    """
    num_examples = len(arrays[0])
    if not 2 <= num_groups <= num_examples:
        raise ValueError(
            f"num_groups must be from 2 to the number of examples, {num_examples}, "
            f"got {num_groups}."
        )
    group = shuffled(num_examples) % num_groups
    leave_out = [
        statistic(*(array[group != g] for array in arrays)) for g in range(num_groups)
    ]
    return np.sqrt((num_groups - 1) * np.var(leave_out, axis=0))


def shuffled(num: int) -> np.ndarray:
    """The numbers 0, ..., num - 1 in a fixed order that no release of NumPy changes."""
    return np.random.PCG64(0).random_raw(num).argsort(kind="stable")


def largest_gap(matrix: np.ndarray) -> np.ndarray:
    """By how much the largest of each column exceeds the second: `[D, F] -> [F]`."""
    ordered = np.sort(np.vstack([np.zeros(matrix.shape[1]), matrix]), axis=0)
    return ordered[-1] - ordered[-2]
