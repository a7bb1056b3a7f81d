"""The likelihood of counts of which some are lost and read as 0."""

from typing import Any

from vaejax.base import Distribution, Family, Key
from vaejax.distributions import ZeroInflatedNegativeBinomial
from vaejax.distributions.softplus import positive
from vaejax.likelihoods.concentration import Setting, concentration_of
from vaejax.likelihoods.poisson import MIN_RATE
from vaejax.networks import Network, decoded


def zero_inflated_negative_binomial(
    decoder: Network,
    event_shape: tuple[int, ...],
    *,
    concentration: Setting = "per_dimension",
) -> Family:
    r"""p(x|z): a negative binomial count that is lost with probability pi.

    .. math:: p(x) = \pi [x = 0] + (1 - \pi)\, \mathrm{NB}(x; \mu, \theta)

    For the counts of genes in single cells, as in scVI: the decoder gives mu and the
    logit of pi; theta, the inverse dispersion (variance mu + mu^2 / theta), is a gene's
    own. Unlike scVI, mu is not a share of a latent library size. pi -> 0 is
    `negative_binomial`, whose links these are.

    Args:
      decoder: a flax.linen module or a pair `(init, apply)`, z `[N, D]` to features.
      event_shape: the shape of one x.
      concentration: whose theta is: `"per_dimension"` is a parameter for each element
        of x, from 1 on; `"decoded"` depends on z.

    Returns:
      A `Family` of `ZeroInflatedNegativeBinomial` whose batch shape is the leading axes
      of z; in float32 its masses sum to 1 within 1e-5. Finite with its gradient for
      outputs up to 10,000 in size and counts up to a million.

    Raises:
      ValueError: if `concentration` is an unknown name.

    References:
      Lopez et al., 2018, Deep generative modeling for single-cell transcriptomics,
      Nature Methods 15:1053, https://doi.org/10.1038/s41592-018-0229-2.
    """
    theta = concentration_of(concentration, event_shape)
    network = decoded(decoder, event_shape, 2 + theta.num_outputs)

    def init(key: Key, z: Any) -> Any:
        return {"decoder": network.init(key, z)} | theta.init()

    def make(params: Any, z: Any) -> Distribution:
        raw = network.apply(params["decoder"], z)  # [..., *event_shape, 2 or 3]
        return ZeroInflatedNegativeBinomial(
            positive(raw[..., 0], MIN_RATE),
            theta.value(params, raw),
            raw[..., 1],
            len(event_shape),
        )

    return Family(init, make)
