"""A flow, fitted to the codes by maximum likelihood."""

from collections.abc import Callable

import jax

from vaejax import flows, priors
from vaejax.base import Distribution, Key, Metrics, Model, Objective, Params, X, split
from vaejax.checks import check_fit
from vaejax.distributions import Rescaled
from vaejax.samplers.codes import Sampler, codes, fit, moments


def flow(
    *,
    flow: Callable[..., flows.Flow] = flows.masked_autoregressive,
    num_flows: int = 4,
    num_steps: int = 5000,
    batch_size: int = 128,
    learning_rate: float = 1e-3,
) -> Sampler:
    r"""A standard normal pushed through flows, as `priors.flow`, fitted afterwards.

    .. math:: \max_f \sum_n \log p_f(z_n)

    The codes are standardised first.

    Args:
      flow: a factory of `vaejax.flows` with an inverse: `masked_autoregressive`, whose
        draws take D passes of each flow, or `inverse_autoregressive`, whose density
        does (and with it every step of the fit), or any other.
      num_flows: how many, the order of the coordinates reversed between them.
      num_steps: of training, at least 1.
      batch_size: codes a step.
      learning_rate: of Adam at first; it falls to 0.

    Returns:
      A `Sampler`.

    Raises:
      ValueError: if a count is less than 1, the learning rate not positive, or the
        flow runs forward only; of the sampler, if the fit diverges.

    References:
      Papamakarios et al., 2017, https://arxiv.org/abs/1705.07057.
      Kingma et al., 2016, https://arxiv.org/abs/1606.04934.
    """
    priors.flow(1, flow=flow, num_flows=num_flows)  # raises now, not when it is used
    check_fit(num_steps, batch_size, learning_rate)

    def sampler(key: Key, model: Model, params: Params, x: X) -> Distribution:
        code_key, fit_key = split(key)
        z = codes(code_key, model, params, x)
        loc, scale = moments(z)
        law = priors.flow(z.shape[-1], flow=flow, num_flows=num_flows)
        fitted = fit(
            fit_key,
            model._replace(
                init=lambda key, z: {"prior": law.init(key, z)},
                prior=lambda params: law.make(params["prior"], None),
            ),
            Objective(surprise),
            (z - loc) / scale,
            num_steps=num_steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
        )
        return Rescaled(law.make(fitted["prior"], None), loc, scale)

    return sampler


def surprise(
    key: Key, model: Model, params: Params, z: jax.Array
) -> tuple[jax.Array, Metrics]:
    """The negative log-likelihood of codes, `[B]`, as an objective."""
    return -model.prior(params).log_prob(z), {}
