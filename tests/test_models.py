from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import vaejax
from tests import toy, toy_conditional
from vaejax import evaluate, export, likelihoods, networks, posteriors, priors, samplers
from vaejax.base import Family
from vaejax.models import conditioned
from vaejax.objectives import denoising, elbo, iwae

EXACT = toy_conditional.conditional_gaussian()
MODEL = EXACT.model()
X, LABEL = BATCH = EXACT.draw(8)


def test_the_likelihood_given_y_is_scipys_of_x_given_y():
    estimate, _ = vaejax.evaluate.log_likelihood(
        jax.random.key(0), MODEL, EXACT.params(), (X, LABEL), 3
    )
    np.testing.assert_allclose(estimate, EXACT.log_prob(X, LABEL), atol=1e-4)


def test_the_distortion_given_y_is_that_of_the_model_given_y():
    params, key = EXACT.params(0.5), jax.random.key(0)
    got = vaejax.evaluate.distortion(key, MODEL, params, (X, LABEL), 2)
    expected = vaejax.evaluate.distortion(
        jax.random.clone(key), MODEL.given(LABEL[0]), params, X[:1], 2
    )
    np.testing.assert_allclose(got[:1], expected, rtol=1e-5)


def test_its_particles_keep_the_condition_of_their_example():
    params, given = EXACT.params(), MODEL.given(LABEL)
    z = jax.random.normal(jax.random.key(1), (3, 5, 8, 2))
    mean = given.decode(params, z).mean()
    expected = np.asarray(z) @ EXACT.base.weight + EXACT.shift[LABEL] + EXACT.base.bias
    np.testing.assert_allclose(mean, expected, rtol=1e-4, atol=1e-5)


def test_one_condition_holds_for_the_whole_batch():
    params = EXACT.params()
    one, many = MODEL.given(jnp.int32(1)), MODEL.given(jnp.ones(8, int))
    q, p = one.encode(params, X), many.encode(params, X)
    np.testing.assert_array_equal(q.loc, p.loc)
    z = jnp.ones((8, 2))
    expected = many.decode(params, z).mean()
    np.testing.assert_array_equal(one.decode(params, z).mean(), expected)


def test_networks_are_given_pairs_and_the_prior_an_encoder_of_pairs():
    """A prior that is the posterior at a pair of its own, as a VampPrior is."""
    prior = Family(
        lambda key, x: jax.tree.map(lambda leaf: leaf[:1], x),
        lambda params, encode: jax.tree.map(lambda leaf: leaf[0], encode(params)),
    )
    network = networks.mlp(hidden=(4,))
    model = vaejax.conditional_latent_variable_model(
        posteriors.diagonal_normal(network, 2),
        prior,
        likelihoods.bernoulli(network, (6,)),
    )
    x, y = toy.bits(8), jax.random.normal(jax.random.key(1), (8, 3))
    params = model.init(jax.random.key(0), (x, y))
    kernel = params["posterior"]["network"]["params"]["dense_0"]["kernel"]
    assert kernel.shape == (6 + 3, 4)
    np.testing.assert_array_equal(params["prior"][1], y[:1])
    given = model.given(y)
    expected = given.encode(params, x).loc[0]
    np.testing.assert_allclose(given.prior(params).loc, expected, rtol=1e-6)
    other = model.given(1 - y).encode(params, x)
    assert not np.allclose(other.loc, given.encode(params, x).loc)


def test_a_model_of_plain_x_is_its_own():
    model = toy.small_vae()
    assert conditioned(model, X) == (model, X)


@pytest.mark.parametrize(
    ("name", "ask"),
    [
        ("simulation_based_calibration", evaluate.simulation_based_calibration),
        ("bidirectional", evaluate.bidirectional),
        ("elbo_decomposition", partial(evaluate.elbo_decomposition, x=BATCH)),
        ("cluster_probabilities", partial(evaluate.cluster_probabilities, x=BATCH)),
        ("An export", lambda key, **parts: export.programs(x=BATCH, **parts)),
        ("A post-hoc sampler", partial(samplers.codes, x=BATCH)),
        ("samplers.prior", partial(samplers.prior(), x=BATCH)),
        ("aggregated_posterior", partial(samplers.aggregated_posterior(), x=BATCH)),
    ],
)
def test_what_takes_a_model_of_x_alone_says_how_to_make_one(name, ask):
    message = rf"{name} takes a Model of x alone.*model\.given\(y\) of one y"
    with pytest.raises(TypeError, match=message):
        ask(jax.random.key(0), model=MODEL, params=EXACT.params())


@pytest.mark.parametrize(
    "objective",
    [elbo(), vaejax.watched(iwae()), denoising(elbo(), lambda key, x: x)],
)
def test_a_step_on_x_alone_says_how_to_give_it_a_condition(objective):
    parts = MODEL, objective, optax.sgd(0.1)
    state = vaejax.init_state(jax.random.key(0), *parts, BATCH)
    with pytest.raises(AttributeError, match=r"vaejax\.objectives\.conditional"):
        vaejax.train_step(*parts, state, BATCH)


def test_no_classes_are_an_error():
    with pytest.raises(ValueError, match=r"num_classes.*got 0"):
        vaejax.conditional_latent_variable_model(*[None] * 3, num_classes=0)


NET = networks.mlp(hidden=(3,))


@pytest.mark.parametrize(
    ("latent_dim", "event_shape", "message"),
    [
        (1, (4,), r"prior draws z of shape \[\(1,\)\], the posterior of \[\(2,\)\]"),
        (2, (1,), r"likelihood is for x of shape \[\(1,\)\], and these are \[\(4,\)\]"),
        (2, (4, 1), r"likelihood is for x of shape \[\(4, 1\)\]"),
    ],
)
def test_shapes_that_broadcasting_would_hide_are_an_error(
    latent_dim, event_shape, message
):
    model = vaejax.latent_variable_model(
        posteriors.diagonal_normal(NET, 2),
        priors.standard_normal(latent_dim),
        likelihoods.normal(NET, event_shape),
    )
    with pytest.raises(ValueError, match=message):
        model.init(jax.random.key(0), jnp.zeros((4, 4)))


def test_one_label_may_be_a_number_of_python_and_needs_classes():
    parts = (
        posteriors.diagonal_normal(NET, 2),
        priors.vamp(2, num_components=3),
        likelihoods.normal(NET, (4,)),
    )
    model = vaejax.conditional_latent_variable_model(*parts, num_classes=3)
    batch = jnp.zeros((4, 4)), jnp.array([-1, 0, 2, -1])  # -1: without a label
    params = model.init(jax.random.key(0), batch)
    for leaf in jax.tree.leaves(params):
        assert np.isfinite(leaf).all()
    one, all_of_it = model.given(2), model.given(jnp.full(4, 2))
    z = jnp.ones((4, 2))
    np.testing.assert_array_equal(
        one.decode(params, z).mean(), all_of_it.decode(params, z).mean()
    )
    with pytest.raises(ValueError, match="Labels need num_classes"):
        vaejax.conditional_latent_variable_model(*parts).given(jnp.array([0, 1]))
