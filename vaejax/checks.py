"""What parts must fulfil, said where they meet."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from vaejax.base import Distribution, Params, Z

TINY, HUGE = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)


def check_positive(**numbers: Any) -> None:
    """Refuses what is not above 0 in float32; arrays, and names, are not looked at.

    Args:
      **numbers: by the names that the user gave them.

    Raises:
      ValueError: if one is a Python number that is not positive or not finite, or
        would be 0 or infinite in float32.
    """
    for name, number in numbers.items():
        if isinstance(number, int | float) and not TINY <= number <= HUGE:
            raise ValueError(
                f"{name} must be positive and finite, got {number}; float32 reaches "
                f"from {TINY:.1g} to {HUGE:.1g}."
            )


def check_fit(num_steps: int, batch_size: int, learning_rate: float) -> None:
    """Refuses to train on nothing, or by no step size.

    Raises:
      ValueError: if a count is less than 1 or the learning rate, a Python number, not
        positive and finite.
    """
    if min(num_steps, batch_size) < 1:
        raise ValueError(
            "num_steps and batch_size must be at least 1, got "
            f"{num_steps} and {batch_size}."
        )
    check_positive(learning_rate=learning_rate)


def check_weights(**weights: Any) -> None:
    """Refuses weights below 0; what is traced, or a schedule's value, is not looked at.

    Args:
      **weights: by the names that the user gave them.

    Raises:
      ValueError: if one is a Python number that is negative, infinite or NaN.
    """
    for name, weight in weights.items():
        if isinstance(weight, int | float) and not 0 <= weight < math.inf:
            raise ValueError(f"{name} must be at least 0 and finite, got {weight}.")


Decode = Callable[[Params, Z], Distribution]


def one_by_one(decode: Decode, who: str) -> Decode:
    """The same p(x|z), refused if its distortion fits a parameter to the batch.

    Args:
      decode: of a model.
      who: needs the terms of single examples.

    Raises:
      TypeError: at the first use.
    """

    def checked(params: Params, z: Z) -> Distribution:
        likelihood = decode(params, z)
        if likelihood.fits_batch:
            raise TypeError(
                f"{who} judges examples one by one, and {type(likelihood).__name__} "
                "fits a parameter to the batch: learn it, normal(scale='learned')."
            )
        return likelihood

    return checked
