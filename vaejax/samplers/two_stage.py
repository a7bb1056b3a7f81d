"""A second VAE, on the codes of the first."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import struct

from vaejax import likelihoods, networks, posteriors, priors
from vaejax.base import Distribution, Key, Model, Params, X, split
from vaejax.batch import Shared
from vaejax.checks import check_fit
from vaejax.distributions import Rescaled
from vaejax.models import latent_variable_model
from vaejax.objectives import elbo
from vaejax.samplers.codes import Sampler, codes, fit, moments

RAW_SCALE = -1.0  # where p(z|u) starts: softplus(-1) = 0.3 standard deviations of z


@struct.dataclass
class Generated(Distribution):
    """What a model generates: x ~ p(x|u), u ~ p(u).

    Its density is no closed form: `evaluate.log_likelihood` estimates it, from
    `model` and `params.tree`.
    """

    params: Shared
    model: Model = struct.field(pytree_node=False)

    def sample(self, key: Key, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draws `[*sample_shape, *event_shape]`."""
        prior_key, likelihood_key = split(key)
        params = self.params.tree
        u = self.model.prior(params).sample(prior_key, sample_shape)
        return self.model.decode(params, u).sample(likelihood_key)


def two_stage(
    *,
    hidden: Sequence[int] = (256, 256),
    num_steps: int = 5000,
    batch_size: int = 128,
    learning_rate: float = 1e-3,
) -> Sampler:
    """The law of z that a second VAE learns, z ~ p(z|u), u ~ N(0, I).

    u has as many dimensions as z, q(u|z) and p(z|u) are diagonal normals, the latter
    with one learned scale. The codes are standardised first. The scale starts at 0.3:
    codes that look normal at first sight, as those of a VAE do, need no u at a scale
    of 1, and the second VAE would collapse.

    Args:
      hidden: the widths of its encoder and of its decoder.
      num_steps: of training, at least 1.
      batch_size: codes a step.
      learning_rate: of Adam at first; it falls to 0.

    Returns:
      A `Sampler`; what it gives can be drawn from but has no density in closed form.

    Raises:
      ValueError: if a count or a width is less than 1, or the learning rate not
        positive; of the sampler, if the fit diverges.

    References:
      Dai and Wipf, 2019, https://arxiv.org/abs/1903.05789.
    """
    network = networks.mlp(hidden=hidden)
    check_fit(num_steps, batch_size, learning_rate)

    def sampler(key: Key, model: Model, params: Params, x: X) -> Distribution:
        code_key, fit_key = split(key)
        z = codes(code_key, model, params, x)
        loc, scale = moments(z)
        dim = z.shape[-1]
        second = latent_variable_model(
            posteriors.diagonal_normal(network, dim),
            priors.standard_normal(dim),
            likelihoods.normal(network, (dim,), scale="learned"),
        )

        def init(key: Key, x: X) -> Params:
            params = second.init(key, x)
            params["likelihood"]["raw_scale"] = jnp.asarray(RAW_SCALE)
            return params

        fitted = fit(
            fit_key,
            second._replace(init=init),
            elbo(),
            (z - loc) / scale,
            num_steps=num_steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
        )
        return Rescaled(Generated(Shared(fitted), second), loc, scale)

    return sampler
