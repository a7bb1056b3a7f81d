"""The models of the report: two auto-encoders, two VAEs, and a pair for the plane."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.report.corruption import mixture
from vaejax import (
    Model,
    Objective,
    TrainState,
    data,
    init_state,
    latent_variable_model,
    likelihoods,
    networks,
    objectives,
    posteriors,
    priors,
    train_epoch,
    train_step,
)
from vaejax.base import Distribution, Key, Metrics, Params


class Settings(NamedTuple):
    """What all models have in common."""

    num_seeds: int
    num_epochs: int
    latent_dim: int
    hidden: tuple[int, ...]
    batch_size: int
    learning_rate: float
    likelihood: str


class Trained(NamedTuple):
    """One model, trained from several seeds at once."""

    name: str
    model: Model
    objective: Objective
    params: Params  # [S, ...] each
    loss: np.ndarray  # [num_epochs, S], nats


class Models(NamedTuple):
    """All that was trained; the seeds are paired: equal keys, equal order of data."""

    settings: Settings
    ae: Trained
    vae: Trained
    denoising_ae: Trained
    denoising_vae: Trained
    plane_ae: Trained  # two latent dimensions, one seed
    plane_vae: Trained

    @property
    def four(self) -> tuple[Trained, ...]:
        """The four that are compared."""
        return self.ae, self.vae, self.denoising_ae, self.denoising_vae


def prepare(settings: Settings) -> Callable[[Key, jax.Array], jax.Array]:
    """From images in [0, 1] to what the likelihood is a distribution of."""
    bits = settings.likelihood == "bernoulli"
    return functools.partial(data.binarize if bits else data.unit_interval, scale=1.0)


def build(
    settings: Settings, event_shape: tuple[int, ...], latent_dim: int
) -> tuple[Model, Model]:
    """The auto-encoder and the VAE: the same networks, prior and likelihood."""
    encoder = networks.mlp(hidden=settings.hidden)
    decoder = networks.mlp(hidden=settings.hidden[::-1])
    prior = priors.standard_normal(latent_dim)
    if settings.likelihood == "bernoulli":
        likelihood = likelihoods.bernoulli(decoder, event_shape)
    else:
        likelihood = likelihoods.normal(decoder, event_shape, scale="learned")
    ae = posteriors.point_mass(encoder, latent_dim)
    vae = posteriors.diagonal_normal(encoder, latent_dim)
    return (
        latent_variable_model(ae, prior, likelihood),
        latent_variable_model(vae, prior, likelihood),
    )


def train_all(
    key: Key, images: np.ndarray, settings: Settings, advance: Callable[..., None]
) -> Models:
    """Trains everything; `advance()` is called once an epoch.

    Args:
      key: a scalar key; all models get the same seeds from it.
      images: `[N, *event]` in [0, 1].
      settings: what the models have in common.
      advance: called after each epoch of each model.
    """
    ae, vae = build(settings, images.shape[1:], settings.latent_dim)
    plane_ae, plane_vae = build(settings, images.shape[1:], 2)
    error, bound = objectives.reconstruction(), objectives.elbo()
    optimizer = optax.adam(settings.learning_rate)
    denoising = functools.partial(objectives.denoising, corruption=mixture)
    keys, data = jax.random.split(key, settings.num_seeds), jnp.asarray(images)

    def train(
        name: str, model: Model, objective: Objective, num_seeds: int | None = None
    ) -> Trained:
        # Cloned, since all models get the same keys: that is what pairs them.
        own = jax.random.clone(keys)[:num_seeds]
        state = init(own, model, error, optimizer, data[: settings.batch_size])
        params, loss = fit(state, model, objective, optimizer, data, settings, advance)
        return Trained(name, model, objective, params, loss)

    return Models(
        settings=settings,
        ae=train("AE", ae, error),
        vae=train("VAE", vae, bound),
        denoising_ae=train("denoising AE", ae, denoising(error)),
        denoising_vae=train("denoising VAE", vae, denoising(bound)),
        plane_ae=train("AE", plane_ae, error, 1),
        plane_vae=train("VAE", plane_vae, bound, 1),
    )


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def init(
    keys: Key,
    model: Model,
    objective: Objective,
    optimizer: optax.GradientTransformation,
    x: jax.Array,
) -> TrainState:
    """States from every key; no objective here learns, so any one will do."""
    return jax.vmap(lambda key: init_state(key, model, objective, optimizer, x))(keys)


def fit(
    state: TrainState,
    model: Model,
    objective: Objective,
    optimizer: optax.GradientTransformation,
    images: jax.Array,
    settings: Settings,
    advance: Callable[..., None],
) -> tuple[Params, np.ndarray]:
    """Trains one model from every state `[S]` at once, in one program.

    Returns:
      The parameters, `[S, ...]` each, and the mean losses `[num_epochs, S]`.
    """
    step = functools.partial(train_step, model, objective, optimizer)
    batch_size = settings.batch_size

    def epoch(state: TrainState, images: jax.Array) -> tuple[TrainState, Metrics]:
        ready = prepare(settings)
        return train_epoch(step, batch_size, state, data=images, prepare=ready)

    run = jax.jit(jax.vmap(epoch, in_axes=(0, None)), donate_argnums=0)
    losses = []
    for _ in range(settings.num_epochs):
        state, metrics = run(state, images)
        losses.append(np.asarray(metrics["loss"]))
        advance()
    return state.params, np.stack(losses)


@functools.partial(jax.jit, static_argnums=0)
def encode(model: Model, params: Params, x: jax.Array) -> Distribution:
    """q(z|x) of every seed: batch shape `[S, N]` for x `[N, *event]`."""
    return jax.vmap(model.encode, (0, None))(params, x)


def codes(trained: Trained, x: np.ndarray) -> np.ndarray:
    """The mean of q(z|x), `[S, N, D]`: an auto-encoder's code is its point."""
    return np.asarray(encode(trained.model, trained.params, jnp.asarray(x)).mean())


@functools.partial(jax.jit, static_argnums=0)
def _decode(model: Model, params: Params, z: jax.Array) -> jax.Array:
    return jax.vmap(lambda params, z: model.decode(params, z).mean())(params, z)


def decode(trained: Trained, z: np.ndarray) -> np.ndarray:
    """The mean of p(x|z), `[S, N, *event]` for z `[S, N, D]`."""
    return np.asarray(_decode(trained.model, trained.params, jnp.asarray(z)))


def only(trained: Trained, seed: int = 0) -> Trained:
    """The model of one seed, its leading axis kept."""
    params = jax.tree.map(lambda leaf: leaf[seed : seed + 1], trained.params)
    return trained._replace(params=params)
