"""The yardstick: products of large square float32 matrices, one after the other."""

from collections.abc import Callable

import jax
import numpy as np

from experiments.peers.worker import serve

SIZE = 2048
FLOPS = 2 * SIZE**3  # of one product


def build(images: np.ndarray, seed: int) -> Callable[[], float]:
    """About as many FLOPs as an epoch has, at least one product; gives the number."""
    num_products = max(1, round(len(images) * 4096 * images.shape[1] / FLOPS))
    key = jax.random.key(seed)
    # Its spectral radius is 1: repeated products neither grow nor vanish.
    a = jax.random.normal(key, (SIZE, SIZE)) / SIZE**0.5

    def products(b: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, num_products, lambda _, b: a @ b, b)

    compiled = jax.jit(products)
    b = jax.random.normal(key, (SIZE, SIZE))

    def run() -> float:
        nonlocal b
        b = jax.block_until_ready(compiled(b))
        return float(num_products * FLOPS)

    return run


if __name__ == "__main__":
    serve(build)
