"""Assembly: three conditional distributions make a `Model`."""

import jax
import jax.numpy as jnp

from vaejax.base import (
    ConditionalModel,
    Distribution,
    Family,
    Key,
    Model,
    Params,
    X,
    Z,
    split,
)
from vaejax.batch import batch_size


def latent_variable_model(
    posterior: Family, prior: Family, likelihood: Family
) -> Model:
    """The model p(x|z) p(z) with the approximate posterior q(z|x).

    Args:
      posterior: q(z|x), such as `posteriors.diagonal_normal(encoder, latent_dim)`; its
        `make` receives x `[B, ...]`.
      prior: p(z), such as `priors.standard_normal(latent_dim)`; its `make` receives
        the function `encode`, for priors that are made of posteriors.
      likelihood: p(x|z), such as `likelihoods.bernoulli(decoder, event_shape)`; its
        `make` receives z `[..., D]`.

    Returns:
      A `Model`; its parameters are `{"posterior": .., "prior": .., "likelihood": ..}`.

    References:
      Kingma and Welling, 2014, https://arxiv.org/abs/1312.6114.
    """

    def init(key: Key, x: X) -> Params:
        posterior_key, prior_key, likelihood_key, z_key = split(key, 4)
        posterior_params = posterior.init(posterior_key, x)
        z = posterior.make(posterior_params, x).sample(z_key)
        return {
            "posterior": posterior_params,
            "prior": prior.init(prior_key, x),
            "likelihood": likelihood.init(likelihood_key, z),
        }

    def encode(params: Params, x: X) -> Distribution:
        return posterior.make(params["posterior"], x)

    def decode(params: Params, z: Z) -> Distribution:
        return likelihood.make(params["likelihood"], z)

    def prior_of(params: Params) -> Distribution:
        return prior.make(params["prior"], lambda x: encode(params, x))

    return Model(init, encode, decode, prior_of)


def conditional_latent_variable_model(
    posterior: Family,
    prior: Family,
    likelihood: Family,
    *,
    num_classes: int | None = None,
) -> ConditionalModel:
    """The model p(x|z,y) p(z) of x given y, with q(z|x,y); batches are `(x, y)`.

    The condition y is labels `[B]`, which networks see as one-hot vectors, or an array
    `[B, C]` of numbers; one label, or one vector `[C]`, holds for the whole batch. With
    a label that is none of the classes everything is NaN.
    Networks are given pairs, `(x, y)` and `(z, y)`, which `networks.mlp` joins.

    Args:
      posterior: q(z|x,y); its `make` receives `(x, y)`.
      prior: p(z), the same for every y; its `make` receives `encode` of such pairs.
      likelihood: p(x|z,y); its `make` receives `(z, y)`, z `[..., D]` and y `[..., C]`.
      num_classes: C where y is labels; None where it is numbers.

    Returns:
      A `ConditionalModel`: `given(y)` is a `Model` with the same parameters, those of
      `latent_variable_model`.

    Raises:
      ValueError: if `num_classes` is less than 1.

    References:
      Sohn et al., 2015, Learning structured output representation using deep
      conditional generative models (there the output is y and the condition x).
    """
    if num_classes is not None and num_classes < 1:
        raise ValueError(f"num_classes must be at least 1, got {num_classes}.")

    def given(y: jax.Array) -> Model:
        if num_classes is not None:
            known = ((y >= 0) & (y < num_classes))[..., None]
            y = jnp.where(known, jax.nn.one_hot(y, num_classes), jnp.nan)

        def beside(lead: tuple[int, ...]) -> jax.Array:
            return jnp.broadcast_to(y, (*lead, y.shape[-1]))

        def pair(z: Z) -> tuple[Z, jax.Array]:
            return z, beside(jax.tree.leaves(z)[0].shape[:-1])

        pairs = latent_variable_model(
            posterior,
            prior,
            Family(
                lambda key, z: likelihood.init(key, pair(z)),
                lambda params, z: likelihood.make(params, pair(z)),
            ),
        )
        return pairs._replace(
            init=lambda key, x: pairs.init(key, (x, beside((batch_size(x),)))),
            encode=lambda params, x: pairs.encode(
                params, (x, beside((batch_size(x),)))
            ),
        )

    return ConditionalModel(lambda key, x: given(x[1]).init(key, x[0]), given)


def conditioned(model: Model | ConditionalModel, x: X) -> tuple[Model, X]:
    """A `Model` and its batch, also where the batch is `(x, y)`."""
    if isinstance(model, ConditionalModel):
        return model.given(x[1]), x[0]
    return model, x
