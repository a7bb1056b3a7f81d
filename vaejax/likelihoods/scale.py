"""A scale that is given, or learned with the decoder."""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from vaejax.checks import check_positive
from vaejax.distributions.softplus import positive

MIN_SCALE = 1e-3  # a learned scale never falls below it
RAW_ONE = math.log(math.expm1(1 - MIN_SCALE))  # where it starts: at 1

Setting = float | Literal["learned", "per_dimension"]
NAMES = ("learned", "per_dimension")


class Scale(NamedTuple):
    """What the likelihood's parameters hold of it, and its value from them."""

    init: Callable[[], dict[str, Any]]
    value: Callable[[Any], jax.Array]


def scale_of(
    setting: float | str, event_shape: tuple[int, ...], others: tuple[str, ...] = ()
) -> Scale:
    """The scale of a likelihood.

    Args:
      setting: a number is fixed; `"learned"` is one parameter, `"per_dimension"` one
        for each element of x, in both cases a softplus above `MIN_SCALE`, from 1 on.
      event_shape: the shape of one x.
      others: what the caller knows besides, for the error to name.

    Raises:
      ValueError: if it is a number that is not positive, or an unknown name.
    """
    if isinstance(setting, str) and setting not in NAMES:
        names = " or ".join(map(repr, (*NAMES, *others)))
        raise ValueError(f"scale must be a positive number, {names}, got {setting!r}.")
    check_positive(scale=setting)
    if not isinstance(setting, str):
        return Scale(dict, lambda params: jnp.asarray(setting))
    shape = event_shape if setting == "per_dimension" else ()
    return Scale(
        lambda: {"raw_scale": jnp.full(shape, RAW_ONE, float)},
        lambda params: positive(params["raw_scale"], MIN_SCALE),
    )
