"""Which factor was held, by the distances of pairs?"""

import jax
import numpy as np

from vaejax.base import Key, split
from vaejax.evaluate.disentanglement.interventions import (
    Draw,
    Encode,
    accuracy,
    check_counts,
    codes_with_held,
    varying,
)
from vaejax.evaluate.disentanglement.logistic_regression import logistic_regression
from vaejax.evaluate.disentanglement.score import Score


def beta_vae_score(
    key: Key,
    encode: Encode,
    draw: Draw,
    sizes: tuple[int, ...],
    *,
    num_pairs: int = 64,
    num_train: int = 1000,
    num_test: int = 1000,
    penalty: float = 1.0,
    images: int = 1024,
) -> Score:
    r"""The accuracy with which a line tells the factor that pairs of examples share.

    A point is made from a factor f, drawn uniformly among those that vary, and L pairs
    of examples, the two of a pair of the same value of f and otherwise independent:

    .. math:: \frac1L \sum_l |z_{1l} - z_{2l}|

    A logistic regression (all classes at once, see `logistic_regression`) is fitted to
    points and judged on others. Any rotation that keeps a trace of which factor was
    held may score 1: the score is lenient.

    Constant codes are left out; if all are, the score is by chance, 1 / F. Copies of
    codes change nothing but how strong the penalty is.

    Args:
      key: a scalar key.
      encode: codes `[B, D]` of examples, such as `jit` of the posterior mean.
      draw: `(key, indices [B, F]) -> ` examples of these factors, such as `render`.
      sizes: how many values each factor has; at least two vary.
      num_pairs: L.
      num_train: points to fit to.
      num_test: points to judge on.
      penalty: lambda of the ridge, positive.
      images: about how many examples are in memory at once.

    Returns:
      The score, with the binomial error of the points judged on; `parts` are the shares
      of right guesses by the factor held, of those that vary.

    Raises:
      ValueError: if an argument is not as described.

    References:
      Higgins et al., 2017, https://openreview.net/forum?id=Sy2fzU9gl.
    """
    check_counts(
        num_pairs=num_pairs, num_train=num_train, num_test=num_test, images=images
    )
    if not penalty > 0:
        raise ValueError(f"penalty must be positive, got {penalty}.")
    factors, num_points = varying(sizes), num_train + num_test
    choice_key, codes_key = split(key)
    shape = (num_points,)
    which = np.asarray(jax.random.randint(choice_key, shape, 0, len(factors)))
    held = np.repeat(factors[which], num_pairs)
    pairs = codes_with_held(codes_key, encode, draw, sizes, held, 2, images)
    distance = abs(pairs[:, 0] - pairs[:, 1])
    x = distance.reshape(num_points, num_pairs, -1).mean(axis=1)
    seen, new = slice(num_train), slice(num_train, None)
    fit = logistic_regression(x[seen], which[seen], len(factors), penalty=penalty)
    return accuracy(fit.odds(x[new]).argmax(axis=1), which[new], len(factors))
