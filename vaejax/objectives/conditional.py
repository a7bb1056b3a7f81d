"""From an objective on x to one on x given y."""

import jax

from vaejax.base import ConditionalModel, Key, Metrics, Objective, Params, X


def conditional(objective: Objective) -> Objective:
    r"""The given objective on `model.given(y)`; batches are `(x, y)`.

    A bound on :math:`\log p(x)` becomes one on :math:`\log p(x|y)`: over `elbo()` it is
    the conditional VAE.

    .. math:: -E_{q(z|x,y)}[\log p(x|z,y)] + \mathrm{KL}(q(z|x,y) \| p(z))

    Args:
      objective: any objective on x.

    Returns:
      An `Objective` for a `ConditionalModel`, with the loss, metrics and parameters of
      `objective`.

    References:
      Sohn et al., 2015, Learning structured output representation using deep
      conditional generative models.
      Kingma et al., 2014, https://arxiv.org/abs/1406.5298 (the labelled bound of M2).
    """

    def loss(
        key: Key, model: ConditionalModel, params: Params, batch: X
    ) -> tuple[jax.Array, Metrics]:
        x, y = batch
        return objective.loss(key, model.given(y), params, x)

    def init(key: Key, model: ConditionalModel, params: Params, batch: X) -> Params:
        x, y = batch
        return objective.init(key, model.given(y), params, x)

    def visible(batch: X) -> X:
        return objective.visible(batch[0]), batch[1]

    return objective._replace(loss=loss, init=init, visible=visible)
