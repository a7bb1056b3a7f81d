"""The VAE of this library; uint8 images are binarised anew for every batch.

Images `[N, H, W]` get a convolutional network, vectors `[N, D]` a perceptron. Bits are
held as float32, as the peers hold them; a step on bool data takes 3 % longer.
"""

import functools
from collections.abc import Callable

import jax
import numpy as np
import optax

import vaejax
from experiments.peers.worker import (
    BATCH,
    CHANNELS,
    HIDDEN,
    LATENT,
    LEARNING_RATE,
    serve,
)

Parts = tuple[vaejax.Model, vaejax.Objective, optax.GradientTransformation]


def parts(images: np.ndarray) -> Parts:
    """What is trained on these images."""
    network: vaejax.networks.Network
    if images.ndim == 2:
        network = vaejax.networks.mlp(hidden=[HIDDEN], activation="relu")
    else:
        network = vaejax.networks.conv(channels=CHANNELS, hidden=(), activation="relu")
    model = vaejax.latent_variable_model(
        vaejax.posteriors.diagonal_normal(network, LATENT),
        vaejax.priors.standard_normal(LATENT),
        vaejax.likelihoods.bernoulli(network, images.shape[1:]),
    )
    return model, vaejax.objectives.elbo(), optax.adam(LEARNING_RATE)


def on_device(images: np.ndarray) -> jax.Array:
    """Bits as float32."""
    data = jax.numpy.asarray(images)
    return data.astype(jax.numpy.float32) if data.dtype == bool else data


def build(images: np.ndarray, seed: int) -> Callable[[], float]:
    """One epoch of Adam, one compiled program."""
    data = on_device(images)
    model, objective, optimizer = parts(images)
    step = functools.partial(vaejax.train_step, model, objective, optimizer)
    epoch = functools.partial(vaejax.train_epoch, step, BATCH)
    if images.dtype == np.uint8:
        epoch.keywords["prepare"] = functools.partial(vaejax.data.binarize, scale=255)
    compiled = jax.jit(epoch, donate_argnums=0)
    state = vaejax.init_state(
        jax.random.key(seed), model, objective, optimizer, data[:BATCH]
    )

    def run() -> float:
        nonlocal state
        state, metrics = compiled(state, data=data)
        return float(metrics["loss"])

    return run


if __name__ == "__main__":
    serve(build)
