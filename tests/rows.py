"""The contract table: a row for every objective, posterior, prior, likelihood, flow.

`test_contract.py` checks each row on one device, `test_parallel.py` on four.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import vaejax
from tests import toy
from vaejax import flows, likelihoods, networks, posteriors, priors
from vaejax.objectives import (
    conditional,
    denoising,
    elbo,
    iwae,
    m2,
    masked,
    reconstruction,
)
from vaejax.rates import path_derivative, sampled

BATCH, LATENT = 8, 2
X = toy.bits(BATCH, 6)


class Row(NamedTuple):
    """One part that is looked at, among plain others, and a batch for it."""

    objective: vaejax.Objective
    model: Any
    x: Any = X


def flip(key, x):
    noise = jax.vmap(lambda key: jax.random.bernoulli(key, 0.2, x.shape[1:]))(key)
    return jnp.abs(x - noise)


def row(
    objective=None,
    posterior=posteriors.diagonal_normal,
    prior=priors.standard_normal,
    likelihood=likelihoods.bernoulli,
    network=None,
    x=X,
):
    """The row of one part; a part with flags is a `partial` of its factory."""
    network = network or networks.mlp(hidden=(5,))
    model = vaejax.latent_variable_model(
        posterior(network, LATENT), prior(LATENT), likelihood(network, x.shape[1:])
    )
    return Row(objective or elbo(), model, x)


def conditional_row(objective, y):
    """The row of an objective on pairs `(x, y)`."""
    network = networks.mlp(hidden=(5,))
    model = vaejax.conditional_latent_variable_model(
        posteriors.diagonal_normal(network, LATENT),
        priors.standard_normal(LATENT),
        likelihoods.bernoulli(network, X.shape[1:]),
        num_classes=3 if y.ndim == 1 else None,
    )
    return Row(objective, model, (X, y))


def flow_row(flow, **hyperparameters):
    """The row of a flow: a prior of two of them."""
    prior = partial(priors.flow, flow=partial(flow, **hyperparameters), num_flows=2)
    return row(elbo(rate=sampled), prior=prior)


LABEL = jnp.arange(BATCH) % 3
SOME_LABELS = jnp.where(LABEL < 1, LABEL, -1)
MASK = jnp.arange(X.size).reshape(X.shape) % 4 > 0
SMALL = {"num_flows": 2, "context_dim": 3}  # flows in a posterior
CLASSIFIER = networks.headed(networks.mlp(hidden=(4,)), 3)
normal = likelihoods.normal
ROWS = {
    # Objectives.
    "elbo": row(elbo(beta=0.5)),
    "elbo, sampled": row(elbo(rate=sampled)),
    "elbo, path derivative": row(elbo(rate=path_derivative)),
    "elbo, 3 particles": row(elbo(num_particles=3)),
    "iwae": row(iwae(num_particles=3)),
    "denoising": row(denoising(elbo(), flip)),
    "reconstruction": row(reconstruction()),
    "conditional": conditional_row(conditional(elbo()), LABEL),
    "conditional, numbers": conditional_row(conditional(elbo()), X[:, :2]),
    "masked": row(masked(iwae(num_particles=3)))._replace(
        x=(jnp.where(MASK, X, jnp.nan), MASK)
    ),
    "m2": conditional_row(m2(elbo(), CLASSIFIER), SOME_LABELS),
    # Posteriors.
    "point mass": row(reconstruction(), posterior=posteriors.point_mass),
    "planar": row(elbo(rate=sampled), partial(posteriors.planar, **SMALL)),
    "radial": row(elbo(rate=sampled), partial(posteriors.radial, **SMALL)),
    "sylvester": row(elbo(rate=sampled), partial(posteriors.sylvester, **SMALL)),
    "iaf": row(iwae(num_particles=3), partial(posteriors.iaf, hidden=(6,), **SMALL)),
    "flow posterior": row(
        elbo(rate=path_derivative), partial(posteriors.flow, **SMALL)
    ),
    # Priors.
    "standard normal": row(prior=priors.standard_normal),
    # Flows, as priors.
    "affine coupling": flow_row(flows.affine_coupling, hidden=(4,)),
    "spline coupling": flow_row(flows.spline_coupling, hidden=(4,), num_bins=3),
    "masked autoregressive": flow_row(flows.masked_autoregressive, hidden=(4,)),
    "inverse autoregressive": flow_row(flows.inverse_autoregressive, hidden=(4,)),
    "linear flow": flow_row(flows.linear),
    "permutation": flow_row(flows.permutation, seed=1),
    # Likelihoods.
    "normal": row(likelihood=partial(normal, scale=0.5)),
    "normal, learned": row(likelihood=partial(normal, scale="learned")),
    "normal, per dimension": row(likelihood=partial(normal, scale="per_dimension")),
    "normal, optimal": row(likelihood=partial(normal, scale="optimal")),
    # Networks.
}
