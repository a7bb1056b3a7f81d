"""One bound for the model, another for its posterior."""

import jax

from vaejax.base import Key, Metrics, Model, Objective, Params, X
from vaejax.objectives.iwae import iwae
from vaejax.objectives.miwae import miwae
from vaejax.objectives.particles import Gradient


def piwae(
    *, num_particles: int = 8, num_bounds: int = 8, gradient: Gradient = "pathwise"
) -> Objective:
    r"""Partially importance-weighted bound: the tight bound where it helps.

    .. math:: \nabla_\theta = \nabla_\theta\, \mathrm{IWAE}_{MK}, \quad
              \nabla_\phi = \nabla_\phi\, \mathrm{MIWAE}_{M,K}

    :math:`\phi` are the posterior's parameters, :math:`\theta` all others; both
    gradients come from the same M K particles. The value is that of
    `iwae(num_particles=M K)`. M = 1 is that objective, K = 1 trains the posterior with
    the ELBO.

    Args:
      num_particles: K, posterior samples in each bound of the posterior, at least 1.
      num_bounds: M, such bounds, at least 1.
      gradient: `pathwise`, `stl`, `dreg` or `resampled`, see `iwae`.

    Returns:
      An `Objective`: loss `[B]` in nats; metrics `[B]`: `distortion` and `rate`, their
      means over the M K particles, and `effective_sample_size`, from 1 to M K.

    Raises:
      ValueError: if a count is less than 1, or `gradient` unknown.

    References:
      Rainforth et al., 2018, https://arxiv.org/abs/1802.04537.
    """
    inference = miwae(
        num_particles=num_particles, num_bounds=num_bounds, gradient=gradient
    )
    generative = iwae(
        num_particles=num_bounds * num_particles,
        gradient="resampled" if gradient == "resampled" else "pathwise",
    )
    fixed = jax.lax.stop_gradient

    def loss(key: Key, model: Model, params: Params, x: X) -> tuple[jax.Array, Metrics]:
        theta = params | {"posterior": fixed(params["posterior"])}
        phi = fixed(params) | {"posterior": params["posterior"]}
        value, metrics = generative.loss(jax.random.clone(key), model, theta, x)
        surrogate, _ = inference.loss(key, model, phi, x)  # the same draws
        return value + (surrogate - fixed(surrogate)), metrics

    return Objective(loss)
