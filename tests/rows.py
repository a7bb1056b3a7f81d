"""The contract table: a row for every objective, posterior, prior, likelihood, flow.

`test_contract.py` checks each row on one device, `test_parallel.py` on four.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import vaejax
from tests import toy
from vaejax import likelihoods, networks, posteriors, priors
from vaejax.objectives import denoising, elbo, iwae, reconstruction
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
    # Posteriors.
    "point mass": row(reconstruction(), posterior=posteriors.point_mass),
    # Priors.
    "standard normal": row(prior=priors.standard_normal),
    # Likelihoods.
    "normal": row(likelihood=partial(normal, scale=0.5)),
    "normal, learned": row(likelihood=partial(normal, scale="learned")),
    "normal, per dimension": row(likelihood=partial(normal, scale="per_dimension")),
    "normal, optimal": row(likelihood=partial(normal, scale="optimal")),
    # Networks.
}
