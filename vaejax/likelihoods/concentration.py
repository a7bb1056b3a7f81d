"""The inverse dispersion of counts: a parameter of each element, or decoded."""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from vaejax.distributions.softplus import positive

MIN_CONCENTRATION = 1e-3
RAW_ONE = math.log(math.expm1(1 - MIN_CONCENTRATION))  # where a parameter starts: at 1

Setting = Literal["per_dimension", "decoded"]


class Concentration(NamedTuple):
    """What it takes of the decoder, what the parameters hold of it, and its value."""

    num_outputs: int  # of the decoder, for each element: 0 or 1, the last one
    init: Callable[[], dict[str, Any]]
    value: Callable[[Any, jax.Array], jax.Array]  # of parameters and outputs


def concentration_of(setting: Setting, event_shape: tuple[int, ...]) -> Concentration:
    """The theta of a negative binomial: a softplus above `MIN_CONCENTRATION`.

    Args:
      setting: `"per_dimension"` is a parameter for each element of x, from 1 on;
        `"decoded"` is the last of the decoder's outputs.
      event_shape: the shape of one x.

    Raises:
      ValueError: if it is neither.
    """
    if setting == "per_dimension":
        return Concentration(
            0,
            lambda: {"raw_concentration": jnp.full(event_shape, RAW_ONE, float)},
            lambda params, raw: positive(
                params["raw_concentration"], MIN_CONCENTRATION
            ),
        )
    if setting == "decoded":
        return Concentration(
            1, dict, lambda params, raw: positive(raw[..., -1], MIN_CONCENTRATION)
        )
    raise ValueError(
        f"concentration must be 'per_dimension' or 'decoded', got {setting!r}."
    )
