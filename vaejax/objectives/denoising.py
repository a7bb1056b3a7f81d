"""Encode a corrupted example, reconstruct the clean one."""

from collections.abc import Callable

import jax

from vaejax.base import Distribution, Key, Metrics, Model, Objective, Params, X, split


def denoising(objective: Objective, corruption: Callable[[Key, X], X]) -> Objective:
    r"""The given objective with q(z|x) read from a corrupted x; the target stays clean.

    Over `reconstruction()` this is the denoising auto-encoder, over `elbo()` the
    denoising VAE, whose bound averages over the corruption. Without corruption it is
    the objective itself.

    Args:
      objective: any objective on x.
      corruption: `(key, x) -> x`; key is `[B]`, one for each example of x `[B, ...]`,
        which is what the encoder is given: of `masked` objectives, pairs.

    Returns:
      An `Objective` with the loss, metrics and parameters of `objective`.

    References:
      Vincent et al., 2008, https://doi.org/10.1145/1390156.1390294.
      Im et al., 2017, https://arxiv.org/abs/1511.06406.
    """

    def loss(key: Key, model: Model, params: Params, x: X) -> tuple[jax.Array, Metrics]:
        corruption_key, key = split(key)
        of_clean = model.encode

        def encode(params: Params, x: X) -> Distribution:
            noisy = corruption(jax.random.clone(corruption_key), x)
            return of_clean(params, noisy)

        return objective.loss(key, model._replace(encode=encode), params, x)

    return objective._replace(loss=loss)
