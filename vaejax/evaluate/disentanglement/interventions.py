"""Codes of examples that share the value of one factor."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vaejax.base import Key, X, split
from vaejax.evaluate.disentanglement.score import Score

Encode = Callable[[X], Any]  # examples [B, ...] -> codes [B, D]
Draw = Callable[[Key, jax.Array], X]  # factor indices [B, F] -> examples [B, ...]


def varying(sizes: tuple[int, ...]) -> np.ndarray:
    """The factors that have more than one value.

    Raises:
      ValueError: if there are fewer than two, one of which to hold.
    """
    found = np.flatnonzero(np.asarray(sizes) > 1)
    if len(found) < 2:
        raise ValueError(f"At least two factors must vary, got sizes {tuple(sizes)}.")
    return found


def codes_with_held(
    key: Key,
    encode: Encode,
    draw: Draw,
    sizes: tuple[int, ...],
    held: np.ndarray,
    num_each: int,
    images: int,
) -> np.ndarray:
    """Codes `[R, num_each, D]`: in row r all have the same value of factor `held[r]`.

    That value, and all those of the other factors, are uniform and independent. A
    factor -1 holds nothing.

    Args:
      key: a scalar key.
      encode: gives codes of examples.
      draw: gives examples of factors.
      sizes: how many values each factor has.
      held: `[R]`.
      num_each: examples in a row.
      images: about how many examples are in memory at once.

    Raises:
      ValueError: if the codes are not `[B, D]`, or not finite.
    """
    num_rows = min(max(images // num_each, 1), len(held))
    num_batches = -(-len(held) // num_rows)
    batches = np.resize(held, (num_batches, num_rows))  # the last one is filled up
    codes = []
    for i, rows in enumerate(batches):
        factor_key, draw_key = split(jax.random.fold_in(key, i))
        shape = (num_rows, num_each, len(sizes))
        free = jax.random.randint(factor_key, shape, 0, jnp.asarray(sizes))
        holds = (rows[:, None] == np.arange(len(sizes)))[:, None]  # [rows, 1, F]
        indices = jnp.where(holds, free[:, :1], free).reshape(-1, len(sizes))
        z = np.asarray(encode(draw(draw_key, indices)), np.float64)
        if z.ndim != 2 or len(z) != len(indices) or not np.isfinite(z).all():
            raise ValueError(
                f"encode must give finite codes [B, D] of {len(indices)} examples, "
                f"got {z.shape}{'' if np.isfinite(z).all() else ', not all finite'}."
            )
        codes.append(z.reshape(num_rows, num_each, -1))
    return np.concatenate(codes)[: len(held)]


def accuracy(guess: np.ndarray, truth: np.ndarray, num_classes: int) -> Score:
    """The share of right guesses, with its binomial error, and those of each class.

    The error is that of the mean over examples, the classifier held fixed.
    """
    right = guess == truth
    value = right.mean()
    error = np.sqrt(value * (1 - value) / max(len(right) - 1, 1))
    count = np.bincount(truth, minlength=num_classes)
    hits = np.bincount(truth, weights=right, minlength=num_classes)
    return Score(value, error, np.where(count > 0, hits / np.maximum(count, 1), np.nan))


def check_counts(**counts: int) -> None:
    """Raise a ValueError for a count that is less than 1."""
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} must be at least 1, got {count}.")
