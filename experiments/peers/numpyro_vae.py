"""A VAE in numpyro: SVI with the KL in closed form, an epoch one compiled program."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.example_libraries import stax
from numpyro.infer import SVI, TraceMeanField_ELBO

from experiments.peers.worker import BATCH, HIDDEN, LATENT, LEARNING_RATE, serve


def build(images: np.ndarray, seed: int) -> Callable[[], float]:
    """One epoch of Adam: `lax.fori_loop` over a permutation made on the device."""
    data = jax.numpy.asarray(images, jax.numpy.float32)
    num_images, num_pixels = data.shape
    num_steps = num_images // BATCH

    def dense(width: int, variance: float) -> Any:  # begins as in vaejax
        weights = jax.nn.initializers.variance_scaling(variance, "fan_in", "normal")
        return stax.Dense(width, weights, jax.nn.initializers.zeros)

    encoder = stax.serial(dense(HIDDEN, 0.1), stax.Relu, dense(2 * LATENT, 1.0))
    decoder = stax.serial(dense(HIDDEN, 0.1), stax.Relu, dense(num_pixels, 1.0))

    def model(x: jax.Array) -> None:
        decode = numpyro.module("decoder", decoder, (BATCH, LATENT))
        with numpyro.plate("batch", BATCH):
            prior = dist.Normal(jax.numpy.zeros(LATENT), 1).to_event(1)
            z = numpyro.sample("z", prior)
            numpyro.sample("x", dist.Bernoulli(logits=decode(z)).to_event(1), obs=x)

    def guide(x: jax.Array) -> None:
        encode = numpyro.module("encoder", encoder, (BATCH, num_pixels))
        loc, log_variance = jax.numpy.split(encode(x), 2, axis=-1)
        scale = jax.numpy.exp(0.5 * log_variance)
        with numpyro.plate("batch", BATCH):
            numpyro.sample("z", dist.Normal(loc, scale).to_event(1))

    # The gradient is that of the mean, as for the other contenders.
    scaled = numpyro.handlers.scale
    svi = SVI(
        scaled(model, scale=1 / BATCH),
        scaled(guide, scale=1 / BATCH),
        numpyro.optim.Adam(LEARNING_RATE),
        TraceMeanField_ELBO(),
    )

    def epoch(state: Any, key: jax.Array, data: jax.Array) -> tuple[Any, jax.Array]:
        rows = jax.random.permutation(key, num_images)[: num_steps * BATCH]
        rows = rows.reshape(num_steps, BATCH)

        def body(i: jax.Array, carry: tuple[Any, jax.Array]) -> tuple[Any, jax.Array]:
            state, loss = svi.update(carry[0], data[rows[i]])
            return state, carry[1] + loss

        state, total = jax.lax.fori_loop(0, num_steps, body, (state, 0.0))
        return state, total / num_steps

    compiled = jax.jit(epoch, donate_argnums=0)
    key = jax.random.key(seed)
    state = svi.init(key, data[:BATCH])
    num_epochs = 0

    def run() -> float:
        nonlocal state, num_epochs
        num_epochs += 1
        state, loss = compiled(state, jax.random.fold_in(key, num_epochs), data)
        return float(loss)

    return run


if __name__ == "__main__":
    serve(build)
