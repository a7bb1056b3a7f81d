"""Does each code know of one factor alone?"""

from typing import Any

import numpy as np

from vaejax.evaluate.disentanglement.information import equal_width, mutual_information
from vaejax.evaluate.disentanglement.score import Score, checked, jackknife


def modularity(
    codes: Any, factors: Any, *, num_bins: int = 20, num_groups: int = 20
) -> Score:
    r"""The modularity of codes, from 0 to 1.

    .. math:: \frac1D \sum_d \left(1 - \frac{\sum_{f \ne f_d} I(z_d; v_f)^2}
              {(F - 1)\, I(z_d; v_{f_d})^2}\right)

    with :math:`f_d` the factor that code d knows most of, information as in
    `mutual_information_gap`.

    A code that knows equally much of all factors scores 0, and so does a constant one,
    which knows nothing; copies of a code change nothing but its weight. Where one
    factor varies, every code that knows of it scores 1.

    Args:
      codes: `[N, D]`.
      factors: `[N, F]` integers; a factor that has a single value is left out.
      num_bins: of every code, at least 2.
      num_groups: of the jackknife over examples, which gives the error; the bins stay.

    Returns:
      The score; `parts` are those of the codes, `[D]`.

    Raises:
      ValueError: if an argument is not as described.

    References:
      Ridgeway and Mozer, 2018, https://arxiv.org/abs/1802.05312; bins, and constant
      codes, as in Locatello et al., 2019, https://arxiv.org/abs/1811.12359.
    """
    z, v = checked(codes, factors)
    bins = equal_width(z, num_bins)

    def each(bins: np.ndarray, v: np.ndarray) -> np.ndarray:
        squares = mutual_information(bins, v) ** 2  # [D, F]
        most = squares.max(axis=1)
        rest = (squares.sum(axis=1) - most) / max(v.shape[1] - 1, 1)
        return np.where(most > 0, 1 - rest / np.where(most > 0, most, 1), 0)

    parts = each(bins, v)
    error = jackknife(lambda b, v: each(b, v).mean(), bins, v, num_groups=num_groups)
    return Score(parts.mean(), error, parts)
