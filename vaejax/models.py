"""Assembly: three conditional distributions make a `Model`."""

from collections.abc import Callable
from typing import Any

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

    Raises:
      ValueError: in `init`, if the shapes of posterior and prior, or of x and the
        likelihood, differ.

    References:
      Kingma and Welling, 2014, https://arxiv.org/abs/1312.6114.
    """

    def init(key: Key, x: X) -> Params:
        posterior_key, prior_key, likelihood_key, z_key = split(key, 4)
        posterior_params = posterior.init(posterior_key, x)
        z = posterior.make(posterior_params, x).sample(z_key)
        params = {
            "posterior": posterior_params,
            "prior": prior.init(prior_key, x),
            "likelihood": likelihood.init(likelihood_key, z),
        }
        _check_shapes(model, params, x, z, z_key)
        return params

    def encode(params: Params, x: X) -> Distribution:
        return posterior.make(params["posterior"], x)

    def decode(params: Params, z: Z) -> Distribution:
        return likelihood.make(params["likelihood"], z)

    def prior_of(params: Params) -> Distribution:
        return prior.make(params["prior"], lambda x: encode(params, x))

    model = Model(init, encode, decode, prior_of)
    return model


def _check_shapes(model: Model, params: Params, x: X, z: Z, key: Key) -> None:
    """Refuses parts whose shapes differ, which broadcasting would hide."""

    def shapes(function: Callable[[], Any]) -> list[tuple[int, ...]] | None:
        try:
            return [
                leaf.shape[1:] for leaf in jax.tree.leaves(jax.eval_shape(function))
            ]
        except TypeError:  # no mean, or no draws: nothing is known
            return None

    num, given = batch_size(x), [leaf.shape[1:] for leaf in jax.tree.leaves(z)]
    drawn = shapes(lambda: model.prior(params).sample(key, (num,)))
    if drawn not in (None, given):
        raise ValueError(
            f"The prior draws z of shape {drawn}, the posterior of {given}: give both "
            "the same latent_dim."
        )
    target = [leaf.shape[1:] for leaf in jax.tree.leaves(x)][:1]
    decoded = shapes(lambda: model.decode(params, z).mean())
    if decoded not in (None, target):
        raise ValueError(
            f"The likelihood is for x of shape {decoded}, and these are {target}: give "
            "it that event_shape."
        )


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
      ValueError: if `num_classes` is less than 1; where it is used, if y is of integers
        and `num_classes` None.

    References:
      Sohn et al., 2015, Learning structured output representation using deep
      conditional generative models (there the output is y and the condition x).
    """
    if num_classes is not None and num_classes < 1:
        raise ValueError(f"num_classes must be at least 1, got {num_classes}.")

    def given(y: jax.Array) -> Model:
        if num_classes is not None:
            y = jnp.asarray(y)
            known = ((y >= 0) & (y < num_classes))[..., None]
            y = jnp.where(known, jax.nn.one_hot(y, num_classes), jnp.nan)
        elif jnp.issubdtype(jnp.result_type(y), jnp.integer):
            raise ValueError(
                "Labels need num_classes; a condition of numbers is an array [B, C] of "
                f"floating point, got {jnp.result_type(y)}."
            )

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

    def init(key: Key, x: X) -> Params:
        value, y = x
        if num_classes is not None:  # parameters may start at examples without a label
            y = jnp.clip(y, 0, num_classes - 1)
        return given(y).init(key, value)

    return ConditionalModel(init, given)


def conditioned(model: Model | ConditionalModel, x: X) -> tuple[Model, X]:
    """A `Model` and its batch, also where the batch is `(x, y)`."""
    if isinstance(model, ConditionalModel):
        return model.given(x[1]), x[0]
    return model, x


def unconditional(model: Model | ConditionalModel, who: str) -> Model:
    """The same model, refused if it waits for a condition.

    Args:
      model: any model.
      who: takes no batches `(x, y)`.

    Raises:
      TypeError: if it is a `ConditionalModel`.
    """
    if isinstance(model, ConditionalModel):
        raise TypeError(
            f"{who} takes a Model of x alone, and this one waits for a condition: give "
            "it model.given(y) of one y, and no batches (x, y)."
        )
    return model
