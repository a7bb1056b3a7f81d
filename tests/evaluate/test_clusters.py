import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vaejax
from tests import toy
from vaejax import likelihoods, posteriors, priors
from vaejax.evaluate import cluster_probabilities

X = jax.random.normal(jax.random.key(0), (10, 2))


def small_model(prior):
    network = toy.identity()
    model = vaejax.latent_variable_model(
        posteriors.diagonal_normal(network, 2), prior, likelihoods.normal(network, (2,))
    )
    return model, jax.jit(model.init)(jax.random.key(1), X)


def test_it_is_the_mean_of_the_responsibilities_under_the_posterior():
    model, params = small_model(priors.mixture(2, num_components=3))
    got = cluster_probabilities(jax.random.key(2), model, params, X, 4000, images=3)
    assert got.shape == (10, 3)
    np.testing.assert_allclose(got.sum(axis=-1), 1, rtol=1e-5)
    z = toy.sample(model.encode(params, X), jax.random.key(3), (4000,))
    toy.same_mean(2 * model.prior(params).responsibilities(z)[:, ::9], 2 * got[::9])


def test_a_sure_posterior_gives_bayes_rule_at_its_mean():
    model, params = small_model(priors.mixture(2, num_components=3))
    head = params["posterior"]["head"]
    head["kernel"] = head["kernel"].at[:, 2:].set(0)
    head["bias"] = head["bias"].at[2:].set(-100.0)
    got = cluster_probabilities(jax.random.key(2), model, params, X, 1)
    expected = model.prior(params).responsibilities(model.encode(params, X).loc)
    np.testing.assert_allclose(got, expected, atol=5e-3)


def test_a_prior_without_components_is_an_error_that_names_one_with():
    model, params = small_model(priors.standard_normal(2))
    with pytest.raises(TypeError, match=r"Normal has no clusters.*priors.mixture"):
        cluster_probabilities(jax.random.key(0), model, params, X)
    model, params = small_model(priors.mixture(2))
    with pytest.raises(ValueError, match="at least 1, got 0 and 64"):
        cluster_probabilities(jax.random.key(0), model, params, X, 0)
    assert jnp.ndim(params["prior"]["logits"]) == 1
