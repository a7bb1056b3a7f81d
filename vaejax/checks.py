"""What hyperparameters of many parts must fulfil."""

import math
from typing import Any


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
