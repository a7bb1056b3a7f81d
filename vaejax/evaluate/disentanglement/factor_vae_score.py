"""Which factor was held, by the code that varied least?"""

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
from vaejax.evaluate.disentanglement.score import Score


def factor_vae_score(
    key: Key,
    encode: Encode,
    draw: Draw,
    sizes: tuple[int, ...],
    *,
    num_each: int = 64,
    num_train: int = 1000,
    num_test: int = 1000,
    num_variance: int = 10_000,
    threshold: float = 0.05,
    images: int = 1024,
) -> Score:
    r"""The accuracy with which the stillest code tells the factor that was held.

    A vote is made from a factor f, drawn uniformly among those that vary, and L
    examples of one value of it, otherwise independent: the code
    :math:`d = \arg\min_d \mathrm{Var}_L(z_d) / \mathrm{Var}(z_d)`. Each code then
    stands for the factor that it was drawn with most often, and is judged on other
    votes.

    Codes of little variance over all examples are dead and get no vote; if all are
    dead the score is by chance, 1 / F. Of equal codes, as copies are, the first gets
    the vote, and of factors equally often drawn the first is chosen.

    Args:
      key: a scalar key.
      encode: codes `[B, D]` of examples, such as `jit` of the posterior mean.
      draw: `(key, indices [B, F]) -> ` examples of these factors, such as `render`.
      sizes: how many values each factor has; at least two vary.
      num_each: L, at least 2.
      num_train: votes that say which factor a code stands for.
      num_test: votes to judge on.
      num_variance: examples that say how much a code varies, at least 2.
      threshold: a code is dead if its variance is at most this. The default is for
        posterior means where the prior has variance 1; 0 drops constant codes alone.
      images: about how many examples are in memory at once.

    Returns:
      The score, with the binomial error of the votes judged on; `parts` are the shares
      of right guesses by the factor held, of those that vary.

    Raises:
      ValueError: if an argument is not as described.

    References:
      Kim and Mnih, 2018, https://arxiv.org/abs/1802.05983; the threshold as in
      Locatello et al., 2019, https://arxiv.org/abs/1811.12359.
    """
    check_counts(num_train=num_train, num_test=num_test, images=images)
    if min(num_each, num_variance) < 2 or threshold < 0:
        raise ValueError(
            "num_each and num_variance must be at least 2 and threshold at least 0, "
            f"got {num_each}, {num_variance} and {threshold}."
        )
    factors, shape = varying(sizes), (num_train + num_test,)
    choice_key, all_key, held_key = split(key, 3)
    nothing = np.full(num_variance, -1)
    free = codes_with_held(all_key, encode, draw, sizes, nothing, 1, images)[:, 0]
    alive = (np.ptp(free, axis=0) > 0) & (free.var(axis=0) > threshold)
    which = np.asarray(jax.random.randint(choice_key, shape, 0, len(factors)))
    held = factors[which]
    codes = codes_with_held(held_key, encode, draw, sizes, held, num_each, images)
    still = codes.var(axis=1) / np.where(alive, free.var(axis=0), 1)
    code = np.where(alive, still, np.inf).argmin(axis=1)
    votes = np.zeros((free.shape[1], len(factors)))
    np.add.at(votes, (code[:num_train], which[:num_train]), 1)
    guess = votes.argmax(axis=1)[code[num_train:]]
    return accuracy(guess, which[num_train:], len(factors))
