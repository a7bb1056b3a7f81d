"""Batches in which one example spoils the loss or the gradient, each in its own way."""

import jax
import jax.numpy as jnp
import numpy as np

from vaejax.base import Objective
from vaejax.objectives import elbo

NONE, RATE, DISTORTION, GRADIENT, NAN, INF = range(6)
NAMED = {  # the metrics that tell, of a Bernoulli model
    RATE: {"rate", "loss"},
    DISTORTION: {"distortion", "loss"},
    GRADIENT: {"gradient_norm"},
    NAN: {"rate", "distortion", "loss", "gradient_norm"},
    INF: {"rate", "distortion", "loss", "gradient_norm"},
}


def named(metrics):
    """The terms that metrics of a step say were not finite."""
    return {name for name, value in metrics.items() if not np.isfinite(value)}


def batch(x, row=0, kind=NONE):
    """A batch `{"x", "bad"}` whose row is spoilt."""
    bad = jnp.zeros(len(x), int).at[row].set(kind)
    value = {NAN: jnp.nan, INF: jnp.inf}.get(kind)
    return {"x": x if value is None else x.at[row].set(value), "bad": bad}


def _loss(key, model, params, batch):
    bad = batch["bad"]
    value, metrics = elbo().loss(key, model, params, batch["x"])
    rate = jnp.where(bad == RATE, jnp.nan, metrics["rate"])
    distortion = jnp.where(bad == DISTORTION, jnp.inf, metrics["distortion"])
    # The slope of the root at 0 is infinite, and 0 times that is NaN: in the gradient.
    own = jax.tree.leaves(params["likelihood"])[0].sum()
    root = jnp.sqrt(jnp.where(bad == GRADIENT, 0.0, 1.0) + 0 * own)
    term = root - jax.lax.stop_gradient(root)
    value = jnp.where(bad == RATE, jnp.nan, value)
    value = jnp.where(bad == DISTORTION, jnp.inf, value)
    return value + term, {"distortion": distortion, "rate": rate}


OBJECTIVE = Objective(_loss)
