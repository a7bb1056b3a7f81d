"""The bound for data with missing values."""

import jax

from vaejax.base import Key, Metrics, Model, Objective, Params, X
from vaejax.distributions.masked import fill_in
from vaejax.missing import observed


def masked(objective: Objective, fill: jax.Array | float = 0.0) -> Objective:
    r"""The given objective on the observed part of x; batches are `(value, mask)`.

    With `iwae` it is the importance-weighted bound for missing data,

    .. math:: -E\, \log \frac1K \sum_{k=1}^K \frac{p(x_\text{observed}|z_k)\, p(z_k)}
              {q(z_k|x_\text{observed})}, \quad z_k \sim q(z|x_\text{observed})

    a bound on :math:`-\log p(x_\text{observed})`. With a full mask it is the objective
    itself. The paper calls its method MIWAE; it has nothing to do with
    `objectives.miwae`, the multiply importance-weighted auto-encoder.

    Args:
      objective: any objective whose target is `log_prob` of x.
      fill: what encoder and likelihood see in place of a hidden value: a number, or an
        array of the shape of one x such as the mean of the training data.

    Returns:
      An `Objective` with the loss, metrics and parameters of `objective`, for a model
      whose encoder is given `(value, mask)`, the mask 1 where observed. The paper's
      encoder sees no mask: `vaejax.missing.mask_blind(model)`.

    References:
      Mattei and Frellsen, 2019, https://arxiv.org/abs/1812.02633, equation 4.
    """

    def loss(key: Key, model: Model, params: Params, x: X) -> tuple[jax.Array, Metrics]:
        return objective.loss(key, observed(model, fill), params, x)

    def init(key: Key, model: Model, params: Params, x: X) -> Params:
        return objective.init(key, observed(model, fill), params, x)

    def visible(x: X) -> X:
        return fill_in(objective.visible(x), fill)

    return objective._replace(loss=loss, init=init, visible=visible)
