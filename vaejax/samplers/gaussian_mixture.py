"""A mixture of normals, fitted to the codes by expectation maximisation."""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from vaejax.base import Distribution, Key, Model, Params, X, split
from vaejax.distributions import FullNormal, Mixture, Normal
from vaejax.samplers.codes import Sampler, codes, moments


def gaussian_mixture(
    *,
    num_components: int = 10,
    covariance: Literal["full", "diagonal"] = "full",
    num_steps: int = 100,
) -> Sampler:
    """A mixture of normals of any covariance, from scikit-learn.

    One component is the normal with the mean and the covariance of the codes.

    Args:
      num_components: how many normals, at least 1.
      covariance: of each component, full or diagonal.
      num_steps: of expectation maximisation, at most; it starts at k-means.

    Returns:
      A `Sampler` of `Mixture`.

    Raises:
      ValueError: if a count is less than 1, `covariance` unknown, or, when it is used,
        if there are fewer examples than components.

    References:
      Ghosh et al., 2020, https://arxiv.org/abs/1903.12436.
    """
    if min(num_components, num_steps) < 1:
        raise ValueError(
            "num_components and num_steps must be at least 1, got "
            f"{num_components} and {num_steps}."
        )
    if covariance not in ("full", "diagonal"):
        raise ValueError(f"covariance must be full or diagonal, got {covariance!r}.")

    def sampler(key: Key, model: Model, params: Params, x: X) -> Distribution:
        from sklearn import mixture

        code_key, seed_key = split(key)
        codes_of_x = codes(code_key, model, params, x)
        loc, scale = (np.asarray(moment, float) for moment in moments(codes_of_x))
        z = (np.asarray(codes_of_x, float) - loc) / scale  # the units of its floor
        if len(z) < num_components:
            raise ValueError(
                f"{num_components} components need as many examples, got {len(z)}."
            )
        fitted = mixture.GaussianMixture(
            num_components,
            covariance_type={"full": "full", "diagonal": "diag"}[covariance],
            max_iter=num_steps,
            random_state=int(jax.random.bits(seed_key)),
        ).fit(z)
        logits = jnp.asarray(np.log(fitted.weights_), float)
        means = jnp.asarray(loc + scale * fitted.means_, float)
        if covariance == "diagonal":
            scales = jnp.asarray(scale * np.sqrt(fitted.covariances_), float)
            return Mixture(logits, Normal(means, scales))
        scale_tril = scale[:, None] * np.linalg.cholesky(fitted.covariances_)
        return Mixture(logits, FullNormal(means, jnp.asarray(scale_tril, float)))

    return sampler
