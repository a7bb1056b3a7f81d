"""The likelihood of real-valued data with sharp edges or some outliers."""

from typing import Any

from vaejax.base import Distribution, Family, Key
from vaejax.distributions import Laplace
from vaejax.likelihoods.scale import Setting, scale_of
from vaejax.networks import Network, decoded


def laplace(
    decoder: Network, event_shape: tuple[int, ...], *, scale: Setting = 1.0
) -> Family:
    r"""p(x|z) = Laplace(loc(z), scale), independent over the elements of x given z.

    .. math:: -\log p(x|z) = \sum_d |x_d - \text{loc}_d| / \text{scale}
        + \log(2\,\text{scale})

    The absolute error where `normal` has the squared one: loc is drawn to the median,
    and a far value counts for its distance only.

    Args:
      decoder: a flax.linen module or a pair `(init, apply)`, z `[N, D]` to features.
      event_shape: the shape of one x.
      scale: the mean distance from loc, in the units of x. A number is fixed;
        `"learned"` is one parameter; `"per_dimension"` one for each element of x.

    Returns:
      A `Family` of `Laplace` whose batch shape is the leading axes of z; finite with
      its gradient for outputs up to 10,000 in size.

    Raises:
      ValueError: if `scale` is a number that is not positive, or an unknown name.
    """
    network, widths = decoded(decoder, event_shape), scale_of(scale, event_shape)

    def init(key: Key, z: Any) -> Any:
        return {"decoder": network.init(key, z)} | widths.init()

    def make(params: Any, z: Any) -> Distribution:
        loc = network.apply(params["decoder"], z)
        return Laplace(loc, widths.value(params), len(event_shape))

    return Family(init, make)
