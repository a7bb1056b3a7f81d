"""Ranks, and what depends on values by their ranks alone."""

import numpy as np


def midranks(x: np.ndarray) -> np.ndarray:
    """The ranks of values `[N]`, from 1 on; equal ones share their mean rank."""
    _, place, count = np.unique(x, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]


def area_under_curve(odds: np.ndarray, positive: np.ndarray) -> float:
    """The probability that a positive example has the larger odds, ties counting half.

    Args:
      odds: `[N]`, any increasing function of a probability.
      positive: bools `[N]`; some, and not all, are true.
    """
    num, num_other = positive.sum(), (~positive).sum()
    above = midranks(odds)[positive].sum() - num * (num + 1) / 2
    return float(above / (num * num_other))


def rank_correlation(x: np.ndarray) -> np.ndarray:
    """Spearman's correlation of columns, `[N, D] -> [D, D]`; 0 of constant ones."""
    ranks = np.array([midranks(column) for column in x.T]).reshape(x.shape[::-1]).T
    ranks = ranks - (len(x) + 1) / 2
    norm = np.sqrt((ranks**2).sum(axis=0))
    unit = ranks / np.where(norm > 0, norm, 1)
    return unit.T @ unit
