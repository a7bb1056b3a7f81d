"""The average of the posteriors of given examples."""

import jax.numpy as jnp

from vaejax.base import Distribution, Key, Model, Params, X
from vaejax.batch import batch_size
from vaejax.distributions import Mixture
from vaejax.models import unconditional
from vaejax.samplers.codes import Sampler


def aggregated_posterior() -> Sampler:
    r"""The mixture of the posteriors of the examples, :math:`\frac1N \sum_i q(z|x_i)`.

    Nothing is fitted. It is what the decoder was trained on, and of all priors the one
    that maximises the ELBO of these very examples; what it draws are variations of
    them. One example is q(z|x). All are encoded at once.

    Returns:
      A `Sampler` of `Mixture`; it has a density where the posterior has one.

    Raises:
      TypeError: when it is used, if the model waits for a condition.

    References:
      Tomczak and Welling, 2018, https://arxiv.org/abs/1705.07120.
    """

    def sampler(key: Key, model: Model, params: Params, x: X) -> Distribution:
        own = unconditional(model, "samplers.aggregated_posterior")
        return Mixture(jnp.zeros(batch_size(x)), own.encode(params, x))

    return sampler
