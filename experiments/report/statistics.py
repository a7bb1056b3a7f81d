"""Means with standard errors and intervals, for seeds and for seeds x images.

A difference is always paired: both models see the same seeds and the same images, so
the difference is taken first, element by element, and averaged afterwards.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import stats

LEVEL = 0.95


class Estimate(NamedTuple):
    """A mean, its standard error, and its interval of confidence `LEVEL`."""

    value: float
    standard_error: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.low > 0 or self.high < 0


def _estimate(value: float, variance: float, degrees: float) -> Estimate:
    error = math.sqrt(max(variance, 0.0))
    reach = float(stats.t.ppf(0.5 + LEVEL / 2, degrees)) * error
    return Estimate(value, error, value - reach, value + reach)


def over_one(values: np.ndarray) -> Estimate:
    """Mean over one random factor, seeds or images; Student's t.

    Args:
      values: one number for each seed or image, at least 2.
    """
    x = np.asarray(values, np.float64)
    return _estimate(float(x.mean()), float(x.var(ddof=1)) / len(x), len(x) - 1)


def over_both(values: np.ndarray) -> Estimate:
    r"""Mean over seeds and images, both of them random samples that are crossed.

    With :math:`x_{si} = \mu + a_s + b_i + e_{si}` the variance of the mean is
    :math:`\sigma_a^2 / S + \sigma_b^2 / N + \sigma_e^2 / SN`. The variance of the row
    means divided by S, plus that of the column means divided by N, counts the last
    term twice; one of the two is taken off. Degrees of freedom as by Satterthwaite.

    Args:
      values: `[S, N]`, at least 2 of each.
    """
    x = np.asarray(values, np.float64)
    num_seeds, num_images = x.shape
    rows, columns, mean = x.mean(axis=1), x.mean(axis=0), x.mean()
    residual = x - rows[:, None] - columns[None, :] + mean
    of_seeds = rows.var(ddof=1) / num_seeds
    of_images = columns.var(ddof=1) / num_images
    twice = (residual**2).sum() / ((num_seeds - 1) * (num_images - 1)) / x.size
    variance = max(of_seeds + of_images - twice, of_seeds, of_images)
    spread = of_seeds**2 / (num_seeds - 1) + of_images**2 / (num_images - 1)
    degrees = (of_seeds + of_images) ** 2 / spread if spread > 0 else num_seeds - 1
    return _estimate(float(mean), float(variance), float(degrees))


def paired(a: np.ndarray, b: np.ndarray) -> Estimate:
    """The mean of a - b, paired element by element: `[S]` or `[S, N]`."""
    difference = np.asarray(a, np.float64) - np.asarray(b, np.float64)
    return over_one(difference) if difference.ndim == 1 else over_both(difference)


MINUS = "\N{MINUS SIGN}"
DIFFERENCE = f"VAE {MINUS} AE"


def plus_minus(estimate: Estimate, decimals: int, factor: float = 1.0) -> str:
    """`0.95 ± 0.01`, the second number the standard error, on one line always."""
    value, error = estimate.value * factor, estimate.standard_error * factor
    return f"{signed(value, decimals)}\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}" + signed(
        error, decimals
    )


def interval(estimate: Estimate, decimals: int, factor: float = 1.0) -> str:
    """`95 % interval 0.1 to 0.3`."""
    low = signed(estimate.low * factor, decimals)
    high = signed(estimate.high * factor, decimals)
    return f"{percent(LEVEL)} interval {low} to {high}"


def percent(share: float, decimals: int = 0) -> str:
    """`95 %`."""
    return f"{signed(100 * share, decimals)}\N{NO-BREAK SPACE}%"


def signed(value: float, decimals: int) -> str:
    """A number with a real minus sign, and none before zero."""
    text = f"{value:.{decimals}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", MINUS)
