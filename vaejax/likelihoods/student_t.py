"""The likelihood of real-valued data with heavy tails."""

import math
from typing import Any, Literal

import jax.numpy as jnp

from vaejax.base import Distribution, Family, Key
from vaejax.checks import check_positive
from vaejax.distributions import StudentT
from vaejax.distributions.softplus import positive
from vaejax.likelihoods.scale import Setting, scale_of
from vaejax.networks import Network, decoded

MIN_DEGREES = 1.0  # learned ones stay above it: above, there is a mean
RAW_FIVE = math.log(math.expm1(5 - MIN_DEGREES))  # where they start: at 5


def student_t(
    decoder: Network,
    event_shape: tuple[int, ...],
    *,
    scale: Setting = "learned",
    degrees_of_freedom: float | Literal["learned"] = "learned",
) -> Family:
    r"""p(x|z): Student's t, independent over the elements of x given z.

    .. math:: p(x|z) \propto \left(1 + \frac{(x - \text{loc})^2}
        {\nu\,\text{scale}^2}\right)^{-(\nu + 1) / 2}

    A value far from loc costs its logarithm, so that outliers do not pull the decoder,
    and an element that the decoder hits exactly is not worth any number of nats. nu ->
    infinity is `normal`.

    Args:
      decoder: a flax.linen module or a pair `(init, apply)`, z `[N, D]` to features.
      event_shape: the shape of one x.
      scale: in the units of x. A number is fixed; `"learned"` is one parameter;
        `"per_dimension"` one for each element of x.
      degrees_of_freedom: nu, a positive number, or `"learned"`: one parameter, above 1,
        from 5 on. Below about 0.1 draws overflow.

    Returns:
      A `Family` of `StudentT` whose batch shape is the leading axes of z; finite with
      its gradient for outputs up to 10,000 in size.

    Raises:
      ValueError: if a number is not positive, or a name unknown.

    References:
      Takahashi et al., 2018, Student-t variational autoencoder for robust density
      estimation, IJCAI.
    """
    nu = degrees_of_freedom
    if isinstance(nu, str) and nu != "learned":
        raise ValueError(
            f"degrees_of_freedom must be a positive number or 'learned', got {nu!r}."
        )
    if nu == math.inf:
        raise ValueError("degrees_of_freedom must be finite, got inf: use normal.")
    check_positive(degrees_of_freedom=nu)
    network, widths = decoded(decoder, event_shape), scale_of(scale, event_shape)

    def init(key: Key, z: Any) -> Any:
        params = {"decoder": network.init(key, z)} | widths.init()
        if nu == "learned":
            params["raw_degrees_of_freedom"] = jnp.full((), RAW_FIVE, float)
        return params

    def make(params: Any, z: Any) -> Distribution:
        loc = network.apply(params["decoder"], z)
        if isinstance(nu, str):
            degrees = positive(params["raw_degrees_of_freedom"], MIN_DEGREES)
        else:
            degrees = jnp.asarray(nu, loc.dtype)
        return StudentT(loc, widths.value(params), degrees, len(event_shape))

    return Family(init, make)
