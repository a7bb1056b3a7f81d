"""The likelihood of counts that vary more than a Poisson."""

from typing import Any

from vaejax.base import Distribution, Family, Key
from vaejax.distributions import NegativeBinomial
from vaejax.distributions.softplus import positive
from vaejax.likelihoods.concentration import Setting, concentration_of
from vaejax.likelihoods.poisson import MIN_RATE
from vaejax.networks import Network, decoded


def negative_binomial(
    decoder: Network,
    event_shape: tuple[int, ...],
    *,
    concentration: Setting = "per_dimension",
) -> Family:
    r"""p(x|z): every element of x is a count of mean mu and variance mu + mu^2 / theta.

    .. math:: p(x) = \frac{\Gamma(x + \theta)}{\Gamma(\theta)\, x!}
        \left(\frac{\theta}{\theta + \mu}\right)^\theta
        \left(\frac{\mu}{\theta + \mu}\right)^x

    For counts of genes, of words or of visits, which vary more than `poisson` allows;
    theta -> infinity is the Poisson. mu = 1e-6 + softplus(r) of the decoder's output r,
    and theta, the inverse dispersion, is a softplus above 0.001.

    Args:
      decoder: a flax.linen module or a pair `(init, apply)`, z `[N, D]` to features.
      event_shape: the shape of one x.
      concentration: whose theta is: `"per_dimension"` is a parameter for each element
        of x (a gene's own dispersion in scVI), from 1 on; `"decoded"` depends on z.

    Returns:
      A `Family` of `NegativeBinomial` whose batch shape is the leading axes of z; in
      float32 its masses sum to 1 within 1e-5. Finite with its gradient for outputs up
      to 10,000 in size and counts up to a million.

    Raises:
      ValueError: if `concentration` is an unknown name.
    """
    theta = concentration_of(concentration, event_shape)
    network = decoded(decoder, event_shape, 1 + theta.num_outputs)

    def init(key: Key, z: Any) -> Any:
        return {"decoder": network.init(key, z)} | theta.init()

    def make(params: Any, z: Any) -> Distribution:
        raw = network.apply(params["decoder"], z)  # [..., *event_shape, 1 or 2]
        mu = positive(raw[..., 0], MIN_RATE)
        return NegativeBinomial(mu, theta.value(params, raw), len(event_shape))

    return Family(init, make)
