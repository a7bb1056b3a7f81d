"""Is each factor in one code alone?"""

from typing import Any

import numpy as np

from vaejax.evaluate.disentanglement.information import (
    entropy,
    equal_width,
    mutual_information,
)
from vaejax.evaluate.disentanglement.score import Score, checked, jackknife, largest_gap


def mutual_information_gap(
    codes: Any, factors: Any, *, num_bins: int = 20, num_groups: int = 20
) -> Score:
    r"""The mutual information gap (MIG), from 0 to 1.

    .. math:: \frac1F \sum_f \frac{I(z_{(1)}; v_f) - I(z_{(2)}; v_f)}{H(v_f)}

    with the codes that know most and second most of factor f. Information is that of
    counts, each code cut into bins of equal width over its range.

    Where two codes know equally much, as copies do, the gap is 0; constant codes know
    nothing, and if all are constant the score is 0. Of a single code the gap is all
    that it knows. Codes that are the factors score 1 only if no factor has more values
    than there are bins; on few examples both terms are biased upwards.

    Args:
      codes: `[N, D]`, such as posterior means.
      factors: `[N, F]` integers; a factor that has a single value is left out.
      num_bins: of every code, at least 2.
      num_groups: of the jackknife over examples, which gives the error; the bins stay.

    Returns:
      The score; `parts` are the gaps of the factors that vary.

    Raises:
      ValueError: if an argument is not as described.

    References:
      Chen et al., 2018, https://arxiv.org/abs/1802.04942; 20 bins as in Locatello et
      al., 2019, https://arxiv.org/abs/1811.12359.
    """
    z, v = checked(codes, factors)
    bins = equal_width(z, num_bins)

    def gaps(bins: np.ndarray, v: np.ndarray) -> np.ndarray:
        known, whole = mutual_information(bins, v), entropy(v)
        return largest_gap(known) / np.where(whole > 0, whole, 1)

    parts = gaps(bins, v)
    error = jackknife(lambda b, v: gaps(b, v).mean(), bins, v, num_groups=num_groups)
    return Score(parts.mean(), error, parts)
