"""Do models that were trained alike agree on what a code is? No factors are needed."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from vaejax.evaluate.disentanglement.ranks import rank_correlation
from vaejax.evaluate.disentanglement.score import Score, jackknife


def udr(
    codes: Sequence[Any],
    active: Sequence[Any] | None = None,
    *,
    num_groups: int = 20,
) -> Score:
    r"""The unsupervised disentanglement ranking (UDR) of models, each from 0 to 1.

    .. math:: \mathrm{UDR}_{ij} = \frac{1}{d_i + d_j} \left(
              \sum_b \frac{\max_a R_{ab}^2}{\sum_a R_{ab}} +
              \sum_a \frac{\max_b R_{ab}^2}{\sum_b R_{ab}}\right)

    with :math:`R_{ab}` the absolute rank correlation (Spearman's) of the active codes a
    of model i and b of model j, of which there are d_i and d_j. The score of a model is
    the median over all other models.

    Equal codes share their mean rank. Constant codes are never active; two models
    without active codes, or one without, score 0 together. A term whose correlations
    are all 0 is 0. A model of copies scores low: they share what they correlate with.

    Args:
      codes: of M models, at least 2, the codes `[N, D_i]` of the same N examples.
      active: of each model bools `[D_i]`, which codes count; the paper asks for a KL to
        the prior above 0.01. Default: all that are not constant.
      num_groups: of the jackknife over examples, which gives the error.

    Returns:
      Scores `[M]` with errors `[M]`; `parts` are UDR_ij, `[M, M]`, NaN where i = j.

    Raises:
      ValueError: if an argument is not as described.

    References:
      Duan et al., 2020, https://arxiv.org/abs/1905.12614.
    """
    kept = _kept(codes, active)
    ends = np.cumsum([0, *(z.shape[1] for z in kept)])
    everything = np.concatenate(kept, axis=1)
    parts = _pairs(everything, ends)
    error = jackknife(
        lambda z: np.nanmedian(_pairs(z, ends), axis=1),
        everything,
        num_groups=num_groups,
    )
    return Score(np.nanmedian(parts, axis=1), error, parts)


def _kept(codes: Sequence[Any], active: Sequence[Any] | None) -> list[np.ndarray]:
    """The active codes of each model, in float64."""
    arrays = [np.asarray(z, np.float64) for z in codes]
    shapes = [z.shape for z in arrays]
    alike = len({shape[0] if len(shape) == 2 else None for shape in shapes}) == 1
    if len(arrays) < 2 or not alike or any(z.ndim != 2 for z in arrays):
        raise ValueError(
            "codes must be of at least 2 models, each [N, D] of the same N examples, "
            f"got shapes {shapes}."
        )
    if not all(np.isfinite(z).all() for z in arrays):
        raise ValueError("codes must be finite: leave out the examples that are not.")
    counts = [np.ones(z.shape[1], bool) for z in arrays] if active is None else active
    if [np.shape(count) for count in counts] != [(shape[1],) for shape in shapes]:
        raise ValueError(
            "active must be bools [D] of every model, got shapes "
            f"{[np.shape(count) for count in counts]} for codes {shapes}."
        )
    return [
        z[:, np.asarray(count, bool) & (np.ptp(z, axis=0) > 0)]
        for z, count in zip(arrays, counts, strict=True)
    ]


def _pairs(z: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """UDR_ij `[M, M]`; the codes of model i are columns ends[i] to ends[i + 1]."""
    R = abs(rank_correlation(z))
    spans = [slice(*pair) for pair in itertools.pairwise(ends)]
    table = [[_pair(R[one, other]) for other in spans] for one in spans]
    return np.where(np.eye(len(spans), dtype=bool), np.nan, table)


def _pair(R: np.ndarray) -> float:
    if not R.size:
        return 0.0
    terms = [R.max(axis=axis) ** 2 / _positive(R.sum(axis=axis)) for axis in (0, 1)]
    return float(np.concatenate(terms).sum() / sum(R.shape))


def _positive(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, 1)
