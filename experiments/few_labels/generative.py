"""Models M1 and M2 of Kingma et al., 2014, https://arxiv.org/abs/1406.5298."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import vaejax
from experiments import progress
from experiments.few_labels.task import Task
from experiments.loop import MAX_SKIPPED, check_taken
from vaejax import likelihoods, networks, objectives, posteriors, priors
from vaejax.base import Key, Params
from vaejax.networks.heads import Headed


class Training(NamedTuple):
    """How the models with networks are trained."""

    num_steps: int
    batch_size: int
    learning_rate: float


def m1_codes(
    key: Key,
    task: Task,
    hidden: tuple[int, ...],
    latent_dim: int,
    training: Training,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """M1: the mean codes of training and test images, of a VAE for each seed."""
    network, num_seeds = networks.mlp(hidden=hidden), len(task.labelled)
    model = vaejax.latent_variable_model(
        posteriors.diagonal_normal(network, latent_dim),
        priors.standard_normal(latent_dim),
        likelihoods.bernoulli(network, task.train.shape[1:]),
    )
    params = fit_all(
        key, model, objectives.elbo(), task.train, None, num_seeds, training, "M1"
    )

    @jax.jit
    @jax.vmap
    def codes(params: Params) -> tuple[jax.Array, jax.Array]:
        train, test = (
            model.encode(params, jnp.asarray(x)).mean() for x in (task.train, task.test)
        )
        return train, test

    train, test = (np.asarray(z) for z in codes(params))
    return list(zip(train, test, strict=True))


def m2_model(
    task: Task, hidden: tuple[int, ...], latent_dim: int
) -> vaejax.ConditionalModel:
    """p(x|z,y) and q(z|x,y) of M2."""
    network = networks.mlp(hidden=hidden)
    return vaejax.conditional_latent_variable_model(
        posteriors.diagonal_normal(network, latent_dim),
        priors.standard_normal(latent_dim),
        likelihoods.bernoulli(network, task.train.shape[1:]),
        num_classes=task.num_classes,
    )


def m2(
    key: Key,
    model: vaejax.ConditionalModel,
    objective: vaejax.Objective,
    classifier: Headed,
    task: Task,
    training: Training,
) -> np.ndarray:
    """M2: errors `[S]` of its q(y|x)."""
    label = np.full((len(task.labelled), len(task.train)), -1, np.int32)
    for own, rows in zip(label, task.labelled, strict=True):
        own[rows] = task.train_label[rows]
    data, axes = (task.train, label), (None, 0)
    params = fit_all(key, model, objective, data, axes, len(label), training, "M2")

    @jax.jit
    @jax.vmap
    def predicted(params: Params) -> jax.Array:
        x = jnp.asarray(task.test)
        return objectives.predict(classifier, params, x).argmax(axis=-1)

    return task.errors(predicted(params))


def fit_all(
    key: Key,
    model: Any,
    objective: vaejax.Objective,
    data: Any,
    in_axes: Any,
    num_seeds: int,
    training: Training,
    name: str,
) -> Params:
    """The parameters `[S, ...]` of as many models as there are seeds, by `vmap`.

    Args:
      key: of all.
      model: what is trained.
      objective: how.
      data: images, or images and labels.
      in_axes: which arrays of `data` have a seed axis.
      num_seeds: S.
      training: for how long.
      name: of the progress bar.
    """
    rate = optax.cosine_decay_schedule(training.learning_rate, training.num_steps)
    optimizer = optax.adamw(rate, weight_decay=1e-4)

    def prepare(key: Key, x: Any) -> Any:
        if isinstance(x, tuple):
            return vaejax.data.binarize(key, x[0], scale=1.0), x[1]
        return vaejax.data.binarize(key, x, scale=1.0)

    def init(key: Key, data: Any) -> vaejax.TrainState:
        one = jax.tree.map(lambda leaf: leaf[:1], data)
        return vaejax.init_state(key, model, objective, optimizer, one)

    step = functools.partial(vaejax.train_step, model, objective, optimizer)

    @functools.partial(jax.jit, donate_argnums=0)
    @functools.partial(jax.vmap, in_axes=(0, in_axes, None))
    def epoch(state: vaejax.TrainState, data: Any, num_steps: jax.Array) -> Any:
        return vaejax.train_epoch(
            step,
            training.batch_size,
            state,
            data=data,
            num_steps=num_steps,
            prepare=prepare,
        )

    data = jax.tree.map(jnp.asarray, data)
    states = jax.vmap(init, (0, in_axes))(jax.random.split(key, num_seeds), data)
    num_images = jax.tree.leaves(data)[0].shape[0]
    with progress.bar(name, training.num_steps) as advance:
        while (done := int(states.step[0])) < training.num_steps:
            num = min(num_images // training.batch_size, training.num_steps - done)
            states, metrics = epoch(states, data, jnp.int32(num))
            loss = float(metrics["loss"].mean())
            check_taken({n: v.max().item() for n, v in metrics.items()}, MAX_SKIPPED)
            advance(num, f"loss {loss:.2f}")
    return states.params
