"""Mutual information of codes and factors, from counts."""

import numpy as np


def equal_width(z: np.ndarray, num_bins: int) -> np.ndarray:
    """Codes cut into bins of equal width over their ranges, `[N, D]`, from 0 on.

    The largest value is in the last bin; a constant code has the first bin only.

    Raises:
      ValueError: if `num_bins` is less than 2.
    """
    if num_bins < 2:
        raise ValueError(f"num_bins must be at least 2, got {num_bins}.")
    low, width = z.min(axis=0), np.ptp(z, axis=0)
    place = (z - low) / np.where(width > 0, width, 1) * num_bins
    return np.minimum(place.astype(int), num_bins - 1)


def mutual_information(bins: np.ndarray, v: np.ndarray) -> np.ndarray:
    r"""The plug-in estimate of :math:`I(z_d; v_f)` in nats, `[D, F]`.

    It is biased upwards, by about (bins - 1) (values - 1) / 2N.

    Args:
      bins: codes `[N, D]`, as `equal_width` gives them.
      v: factors `[N, F]`, integers from 0 on.
    """
    table = [[_information(code, factor) for factor in v.T] for code in bins.T]
    return np.array(table)


def entropy(v: np.ndarray) -> np.ndarray:
    """The entropy in nats of each column of integers from 0 on: `[N, F] -> [F]`."""
    return np.array([_entropy(np.bincount(column)) for column in v.T])


def _information(a: np.ndarray, b: np.ndarray) -> float:
    """I = H(a) + H(b) - H(a, b), at least 0."""
    size = b.max() + 1
    joint = np.bincount(a * size + b)
    total = _entropy(np.bincount(a)) + _entropy(np.bincount(b)) - _entropy(joint)
    return max(total, 0.0)


def _entropy(counts: np.ndarray) -> float:
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log(p)).sum())
