"""What every objective, posterior, likelihood and prior keeps: one row each."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vaejax
from tests import toy
from vaejax import likelihoods, networks, posteriors, priors
from vaejax.objectives import denoising, elbo, iwae, reconstruction
from vaejax.rates import path_derivative, sampled

BATCH, EVENT, LATENT = 4, 6, 2
X = toy.bits(BATCH, EVENT)


def flip(key, x):
    noise = jax.vmap(lambda key: jax.random.bernoulli(key, 0.2, x.shape[1:]))(key)
    return jnp.abs(x - noise)


def network():
    return networks.mlp(hidden=(5,))


def row(
    objective=None,
    posterior=posteriors.diagonal_normal,
    likelihood=likelihoods.bernoulli,
    prior=priors.standard_normal,
    **kwargs,
):
    """One part that is looked at, among plain others."""
    model = vaejax.latent_variable_model(
        posterior(network(), LATENT),
        prior(LATENT),
        likelihood(network(), (EVENT,), **kwargs),
    )
    return objective or elbo(), model


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
    # Posteriors, priors.
    "point mass": row(reconstruction(), posterior=posteriors.point_mass),
    "standard normal": row(prior=priors.standard_normal),
    # Likelihoods.
    "normal": row(likelihood=normal, scale=0.5),
    "normal, learned": row(likelihood=normal, scale="learned"),
    "normal, per dimension": row(likelihood=normal, scale="per_dimension"),
    "normal, optimal": row(likelihood=normal, scale="optimal"),
}


@pytest.mark.parametrize(("objective", "model"), ROWS.values(), ids=ROWS)
def test_one_finite_loss_an_example_and_a_gradient_for_every_parameter(
    objective, model
):
    params = model.init(jax.random.key(0), X)
    params |= {"objective": objective.init(jax.random.key(1), model, params, X)}

    def loss(params, seed):
        keys = jax.random.split(jax.random.key(seed), BATCH)
        return objective.loss(keys, model, params, X)

    @jax.jit
    def everything(params, seed):
        def mean(params):
            value, metrics = loss(params, seed)
            return value.mean(), (value, metrics)

        (_, terms), grads = jax.value_and_grad(mean, has_aux=True)(params)
        return terms, grads

    (value, metrics), grads = everything(params, 3)
    for name, array in {"loss": value, **metrics}.items():
        assert array.shape == (BATCH,), name
        assert np.isfinite(array).all(), name
    for path, grad in jax.tree_util.tree_leaves_with_path(grads):
        name = jax.tree_util.keystr(path)
        assert np.isfinite(grad).all(), name
        assert np.abs(grad).max() > 0, f"no gradient reaches {name}"

    eager, own = loss(params, 3)
    np.testing.assert_allclose(eager, value, rtol=1e-5)
    assert set(own) == set(metrics)
    for name in own:
        np.testing.assert_allclose(own[name], metrics[name], rtol=1e-4, atol=1e-6)

    again = everything(params, 3)[0][0]
    np.testing.assert_array_equal(value, again)
    other = everything(params, 4)[0][0]
    fixed = isinstance(model.encode(params, X), vaejax.distributions.PointMass)
    assert np.array_equal(value, other) == fixed
    assert everything._cache_size() == 1
