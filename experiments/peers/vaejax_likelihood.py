"""The importance-weighted likelihood of this library, of a model as it is made."""

from collections.abc import Callable

import jax
import numpy as np

import vaejax
from experiments.peers.vaejax_vae import on_device, parts
from experiments.peers.worker import NUM_PARTICLES, serve


def build(images: np.ndarray, seed: int) -> Callable[[], float]:
    """The mean over images, in nats; a new key every time."""
    x = on_device(images)
    model, _, _ = parts(images)
    key = jax.random.key(seed)
    params = model.init(key, x[:1])

    def run() -> float:
        nonlocal key
        key, own_key = jax.random.split(key)
        estimates, _ = vaejax.evaluate.log_likelihood(
            own_key, model, params, x, NUM_PARTICLES
        )
        return float(estimates.mean())

    return run


if __name__ == "__main__":
    serve(build)
