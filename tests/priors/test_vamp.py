import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special

import vaejax
from tests import toy
from vaejax import likelihoods, networks, objectives, posteriors, priors
from vaejax.distributions import kl_divergence
from vaejax.rates import sampled

X = toy.bits(8, 6)
Z = jax.random.normal(jax.random.key(5), (4, 2))
NETWORK = networks.mlp(hidden=(5,))
POSTERIOR = posteriors.diagonal_normal(NETWORK, 2)


def model_of(prior):
    return vaejax.latent_variable_model(
        POSTERIOR, prior, likelihoods.bernoulli(NETWORK, (6,))
    )


def pseudo_inputs(num, x=X):
    family = priors.vamp(2, num_components=num)
    return jax.jit(family.init)(jax.random.key(1), x)["pseudo_inputs"]


def test_with_one_pseudo_input_it_is_the_posterior_there():
    model = model_of(priors.vamp(2, num_components=1))
    params = jax.jit(model.init)(jax.random.key(0), X)
    u = params["prior"]["pseudo_inputs"]
    p, q = model.prior(params), model.encode(params, u)
    np.testing.assert_allclose(toy.log_prob(p, Z), toy.log_prob(q, Z), rtol=1e-5)
    z = toy.sample(p, jax.random.key(2), (4000,))
    toy.same_mean(z, q.loc[0])
    toy.same_mean((z - q.loc[0]) ** 2, np.asarray(q.scale[0], np.float64) ** 2)


@pytest.mark.parametrize("weights", ["uniform", "learned"])
def test_its_density_is_the_weighted_mean_of_the_posteriors(weights):
    model = model_of(priors.vamp(2, num_components=5, weights=weights))
    params = jax.jit(model.init)(jax.random.key(0), X)
    share = np.full(5, 0.2)
    assert ("logits" in params["prior"]) == (weights == "learned")
    if weights == "learned":
        logits = jnp.array([0.0, 1.0, -1.0, 2.0, 0.5])
        params["prior"]["logits"] = logits
        share = scipy.special.softmax(np.asarray(logits, np.float64))
    q = model.encode(params, params["prior"]["pseudo_inputs"])
    terms = toy.log_normal(np.asarray(Z)[:, None], q.loc, q.scale)
    expected = scipy.special.logsumexp(terms, axis=-1, b=share)
    np.testing.assert_allclose(
        toy.log_prob(model.prior(params), Z), expected, rtol=1e-5
    )


def test_pseudo_inputs_start_near_different_rows_of_the_data():
    x = jnp.arange(8.0)[:, None] * jnp.ones(3)
    u = pseudo_inputs(8, x)
    assert sorted(np.round(u[:, 0]).tolist()) == list(range(8))
    assert 0 < np.abs(u - np.round(u)).max() < 0.2
    more = pseudo_inputs(50, x)
    assert more.shape == (50, 3)
    assert len(np.unique(more[:, 0])) == 50  # the noise tells equal rows apart
    assert set(np.round(more[:, 0]).tolist()) <= set(range(8))


def test_rows_of_a_pytree_stay_together_and_become_floating_point():
    place = jnp.arange(8)
    x = {"a": place[:, None], "b": place.astype(jnp.uint8), "c": place < 4}
    u = pseudo_inputs(8, x)
    assert {leaf.dtype for leaf in jax.tree.leaves(u)} == {jnp.dtype(jnp.float32)}
    np.testing.assert_array_equal(np.round(u["a"][:, 0]), np.round(u["b"]))
    np.testing.assert_array_equal(np.round(u["c"]), np.round(u["b"]) < 4)


def test_the_encoder_and_the_pseudo_inputs_learn_through_the_prior():
    model = model_of(priors.vamp(2, num_components=3))
    params = jax.jit(model.init)(jax.random.key(0), X)

    def rate(params, frozen):
        prior = model.prior(jax.lax.stop_gradient(params) if frozen else params)
        _, (rate,) = model.encode(params, X).sample_and_rates(
            jax.random.key(0), prior, sampled
        )
        return rate.mean()

    gradient = jax.jit(jax.grad(rate), static_argnums=1)
    live, frozen = gradient(params, False), gradient(params, True)
    assert np.abs(live["prior"]["pseudo_inputs"]).max() > 0
    assert np.abs(frozen["prior"]["pseudo_inputs"]).max() == 0
    heads = [grads["posterior"]["head"]["kernel"] for grads in (live, frozen)]
    assert np.abs(heads[0] - heads[1]).max() > 1e-3 * np.abs(heads[0]).max()


def test_a_rate_in_closed_form_is_an_error_that_names_sampled():
    model = model_of(priors.vamp(2, num_components=3))
    params = jax.jit(model.init)(jax.random.key(0), X)
    with pytest.raises(TypeError, match="sampled"):
        kl_divergence(model.encode(params, X), model.prior(params))


def test_unknown_weights_are_an_error():
    with pytest.raises(ValueError, match="uniform or learned, got 'equal'"):
        priors.vamp(2, weights="equal")


def test_pseudo_inputs_start_from_what_was_observed():
    network = networks.mlp(hidden=(3,))
    model = vaejax.latent_variable_model(
        posteriors.diagonal_normal(network, 2),
        priors.vamp(2, num_components=4),
        likelihoods.bernoulli(network, (6,)),
    )
    mask = jnp.arange(48).reshape(8, 6) % 5 > 0
    starts = []
    for hidden in (0.0, jnp.nan, 1e30):
        x = jnp.where(mask, toy.bits(8), hidden), mask
        objective = objectives.masked(objectives.elbo(rate=sampled))
        state = vaejax.init_state(
            jax.random.key(0), model, objective, optax.sgd(0.1), x
        )
        starts.append(state.params["prior"]["pseudo_inputs"][0])
    assert np.isfinite(starts[0]).all()
    np.testing.assert_array_equal(starts[0], starts[1])
    np.testing.assert_array_equal(starts[0], starts[2])
