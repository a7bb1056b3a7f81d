"""Precision, recall, density, coverage: are samples real, and is all that is there."""

from typing import Any, NamedTuple

import numpy as np

from vaejax.evaluate.frechet import checked

ROWS = 256  # of a matrix of distances in memory at once


class Share(NamedTuple):
    """A mean over points, and its standard error for the radii as they are."""

    value: float
    standard_error: float


class Coverage(NamedTuple):
    """How two sets of features cover one another."""

    precision: Share  # of the fakes, in the ball of some real point
    recall: Share  # of the real points, in the ball of some fake
    density: Share  # balls of real points that a fake lies in, over k; may exceed 1
    coverage: Share  # of the real points, with a fake in their own ball


def coverage(real: Any, fake: Any, *, num_neighbors: int = 5) -> Coverage:
    r"""How fakes cover what is real, by the balls of nearest neighbours.

    The ball of a point reaches to its k-th nearest neighbour in its own set, itself not
    counted, and its edge belongs to it. For equal laws density has mean 1 and coverage

    .. math:: 1 - \prod_{i=1}^{k} \frac{N - i}{N + M - i}

    with N real points and M fakes. Precision and recall are high where one outlier has
    a large ball; density and coverage hardly move.

    Args:
      real: features `[N, F]` of data that the model has not seen.
      fake: features `[M, F]` of samples.
      num_neighbors: k, at least 1.

    Returns:
      A `Coverage`.

    Raises:
      ValueError: if the shapes do not fit, a feature is not finite, `num_neighbors` is
        less than 1, or a set does not have more points than that.

    References:
      Kynkäänniemi et al., 2019, https://arxiv.org/abs/1904.06991 (precision, recall).
      Naeem et al., 2020, https://arxiv.org/abs/2002.09797 (density, coverage).
    """
    if num_neighbors < 1:
        raise ValueError(f"num_neighbors must be at least 1, got {num_neighbors}.")
    real, fake = checked(real, fake, least=num_neighbors + 1)
    reach, fake_reach = (_reach(points, num_neighbors) for points in (real, fake))
    balls, covered, recalled = np.zeros(len(fake)), [], []
    for row in range(0, len(real), ROWS):
        own = slice(row, row + ROWS)
        squared = _squared(real[own], fake)  # [ROWS, M]
        inside = squared <= reach[own, None]
        balls += inside.sum(axis=0)
        covered.append(inside.any(axis=1))
        recalled.append((squared <= fake_reach).any(axis=1))
    return Coverage(
        precision=_share(balls > 0),
        recall=_share(np.concatenate(recalled)),
        density=_share(balls / num_neighbors),
        coverage=_share(np.concatenate(covered)),
    )


def _squared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared distances `[N, M]`."""
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return np.maximum(squares, 0)


def _reach(points: np.ndarray, num_neighbors: int) -> np.ndarray:
    """The squared radius of every point's ball, `[N]`."""
    radii = []
    for row in range(0, len(points), ROWS):
        squared = _squared(points[row : row + ROWS], points)
        squared[np.arange(len(squared)), row + np.arange(len(squared))] = -1  # itself
        radii.append(np.partition(squared, num_neighbors, axis=1)[:, num_neighbors])
    return np.concatenate(radii)


def _share(values: np.ndarray) -> Share:
    error = values.std(ddof=1) / np.sqrt(len(values))
    return Share(float(values.mean()), float(error))
