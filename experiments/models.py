"""The two models of the main question: `train vae` and `train ae`.

Keyword-only arguments are flags; those named in `parts.AXES` choose a part.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from experiments.errors import UserError
from vaejax import (
    Distribution,
    Family,
    Model,
    Objective,
    latent_variable_model,
    likelihoods,
    networks,
    objectives,
    posteriors,
    priors,
    rates,
    schedules,
)
from vaejax.base import split
from vaejax.batch import example_keys
from vaejax.distributions import kl_divergence

SCHEDULED = ("capacity", "beta")  # what a schedule multiplies, the first there is


class Recipe(NamedTuple):
    """What is trained: a model, and its objective at any step."""

    model: Model
    objective: Callable[..., Objective]  # (step), and weights to replace by keyword
    resolved: dict[str, Any]  # the choices that were left to us, for the settings
    schedule: schedules.Schedule = schedules.constant()  # part of the objective


def vae(
    event_shape: tuple[int, ...],
    *,
    posterior: Callable[..., Family] = posteriors.diagonal_normal,
    prior: Callable[..., Family] = priors.standard_normal,
    likelihood: Callable[..., Family] = likelihoods.bernoulli,
    objective: Callable[..., Objective] = objectives.elbo,
    network: Callable[..., Any] = networks.mlp,
    latent_dim: int = 20,
    rate: Literal["auto", "analytic", "sampled", "path_derivative"] = "auto",
    schedule: Callable[..., schedules.Schedule] = schedules.constant,
) -> Recipe:
    """A variational auto-encoder of any parts.

    Args:
      event_shape: the shape of one image.
      posterior: q(z|x).
      prior: p(z).
      likelihood: p(x|z).
      objective: what is minimised.
      network: of the encoder and of the decoder.
      latent_dim: how many numbers describe an image.
      rate: how the KL divergence is estimated; auto is analytic where it is known,
        else sampled.
      schedule: a factor over the steps for the objective's capacity if it has one,
        else for its beta.
    """
    model = latent_variable_model(
        posterior(network(), latent_dim),
        prior(latent_dim),
        likelihood(network(), event_shape),
    )
    takes = inspect.signature(objective).parameters
    if "rate" in takes:
        if rate == "auto":
            rate = "analytic" if _has_closed_form(model, event_shape) else "sampled"
        objective = functools.partial(objective, rate=getattr(rates, rate))
    elif rate != "auto":
        raise UserError("--rate needs an objective that takes a rate, such as elbo.")
    objective()  # bad hyperparameters are refused here, before any work
    scheduled = _scheduled(objective, schedule)
    return Recipe(model, scheduled, {"rate": rate}, schedule())


def ae(
    event_shape: tuple[int, ...],
    *,
    likelihood: Callable[..., Family] = likelihoods.bernoulli,
    network: Callable[..., Any] = networks.mlp,
    latent_dim: int = 20,
) -> Recipe:
    """A deterministic auto-encoder: the same model with a point for a posterior.

    Args:
      event_shape: the shape of one image.
      likelihood: p(x|z), whose distortion is the reconstruction loss.
      network: of the encoder and of the decoder.
      latent_dim: how many numbers describe an image.
    """
    model = latent_variable_model(
        posteriors.point_mass(network(), latent_dim),
        priors.standard_normal(latent_dim),
        likelihood(network(), event_shape),
    )
    return Recipe(model, lambda step: objectives.reconstruction(), {})


def trains_prior(recipe: Recipe, event_shape: tuple[int, ...]) -> bool:
    """Whether the loss asks for the prior at all, so that it says where codes lie.

    What it then does with it is not seen: with `--beta 0` the answer is yes.
    """
    asked = []

    def prior(params: Any) -> Distribution:
        asked.append(True)
        return recipe.model.prior(params)

    def loss(key: jax.Array, x: jax.Array) -> Any:
        init_key, objective_key, key = split(key, 3)
        objective = recipe.objective(jnp.int32(0))
        params = recipe.model.init(init_key, x)
        params |= {"objective": objective.init(objective_key, model, params, x)}
        return objective.loss(example_keys(key, len(x)), model, params, x)

    model = recipe.model._replace(prior=prior)
    jax.eval_shape(loss, jax.random.key(0), jnp.zeros((2, *event_shape)))
    return bool(asked)


def _scheduled(
    objective: Callable[..., Objective], schedule: Callable[..., schedules.Schedule]
) -> Callable[..., Objective]:
    """The objective at any step, its capacity or else its beta times the schedule.

    Raises:
      UserError: if it has neither; the message names the objectives that do.
    """
    factor = schedule()
    if getattr(schedule, "func", schedule) is schedules.constant:
        return lambda step, **weights: objective(**weights)
    takes = inspect.signature(objective).parameters
    name = next((name for name in SCHEDULED if name in takes), None)
    if name is None:
        able = [
            other
            for other, factory in inspect.getmembers(objectives, inspect.isfunction)
            if set(SCHEDULED) & inspect.signature(factory).parameters.keys()
        ]
        raise UserError(
            f"--schedule needs an objective with a {' or a '.join(SCHEDULED)}: "
            f"{', '.join(able)}."
        )
    full = takes[name].default

    def at(step: jax.Array, **weights: Any) -> Objective:
        scaled = {name: factor(step) * weights.get(name, full)}
        return objective(**weights | scaled)

    return at


def _has_closed_form(model: Model, event_shape: tuple[int, ...]) -> bool:
    """Whether KL(q || p) is known, asked of shapes alone."""

    def rate(key: jax.Array, x: jax.Array) -> jax.Array:
        params = model.init(key, x)
        return kl_divergence(model.encode(params, x), model.prior(params))

    try:
        jax.eval_shape(rate, jax.random.key(0), jnp.zeros((1, *event_shape)))
    except TypeError:
        return False
    return True
