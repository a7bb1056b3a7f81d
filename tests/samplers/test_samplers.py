import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import sklearn.mixture

import vaejax
from tests import toy
from vaejax import flows, likelihoods, posteriors, priors, samplers
from vaejax.distributions import Mixture, Normal, PointMass, Rescaled
from vaejax.evaluate import log_likelihood

# The law of the codes: two normals, apart. A diagonal normal of its moments misses it.
TRUTH = Mixture(
    jnp.log(jnp.array([0.3, 0.7])),
    Normal(jnp.array([[2.0, 3.0], [-1.0, -1.0]]), jnp.array([[0.4, 0.2], [0.5, 0.6]])),
)
X = TRUTH.sample(jax.random.key(100), (600,))
HELD_OUT = TRUTH.sample(jax.random.key(101), (1000,))
# A model whose code is its example.
SAME = vaejax.Model(
    lambda key, x: {},
    lambda params, x: PointMass(x),
    lambda params, z: PointMass(z),
    lambda params: Normal(jnp.zeros(2), jnp.ones(2)),
)
MAF = functools.partial(flows.masked_autoregressive, hidden=(32,))
IAF = functools.partial(flows.inverse_autoregressive, hidden=(32,))
STEPS = {"num_steps": 400, "batch_size": 100, "learning_rate": 5e-3}
FACTORIES = {
    "mixture": functools.partial(samplers.gaussian_mixture, num_components=3),
    "diagonal mixture": functools.partial(
        samplers.gaussian_mixture, num_components=3, covariance="diagonal"
    ),
    "maf": functools.partial(samplers.flow, flow=MAF, num_flows=2, **STEPS),
    "iaf": functools.partial(samplers.flow, flow=IAF, num_flows=3, **STEPS),
    "two stages": functools.partial(samplers.two_stage, hidden=(32,), **STEPS),
}
SLOW = ("iaf", "two stages")
NAMES = [
    pytest.param(name, marks=pytest.mark.slow if name in SLOW else ())
    for name in FACTORIES
]


@functools.cache
def fitted(name):
    return FACTORIES[name]()(jax.random.key(0), SAME, {}, X)


def small_model(prior=None):
    """A VAE with affine networks on `[B, 2]`, and parameters for it."""
    network = toy.identity()
    model = vaejax.latent_variable_model(
        posteriors.diagonal_normal(network, 2),
        prior or priors.standard_normal(2),
        likelihoods.normal(network, (2,)),
    )
    return model, jax.jit(model.init)(jax.random.key(1), X[:4])


def test_a_code_is_one_draw_for_every_example_from_its_own_key():
    model, params = small_model()
    z = samplers.codes(jax.random.key(2), model, params, X)
    q = model.encode(params, X)
    assert z.shape == (600, 2)
    noise = (z - q.loc) / q.scale
    toy.same_mean(noise)
    toy.same_mean(noise**2, 1)
    again = samplers.codes(jax.random.key(2), model, params, X[:7])
    np.testing.assert_allclose(again, z[:7], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        samplers.codes(jax.random.key(0), SAME, {}, X), X, rtol=1e-6
    )


def test_the_codes_of_a_hierarchy_are_an_error_that_says_so():
    class Pair(vaejax.Distribution):
        def sample(self, key, sample_shape=()):
            return jnp.zeros((1, 2)), jnp.zeros((1, 2))

    model = SAME._replace(encode=lambda params, x: Pair())
    with pytest.raises(TypeError, match=r"one array .* samplers.prior"):
        samplers.codes(jax.random.key(0), model, {}, X[:3])


@pytest.mark.parametrize("name", NAMES)
def test_it_is_closer_to_the_law_of_the_codes_than_a_normal_of_their_moments(name):
    law = fitted(name)
    if name == "two stages":
        u = (HELD_OUT[:200] - law.loc) / law.scale
        model, params = law.base.model, law.base.params.tree
        bound = log_likelihood(jax.random.key(3), model, params, u, 200)[0]
        got = bound - jnp.log(law.scale).sum()  # at most the truth, in expectation
    else:
        got = toy.log_prob(law, HELD_OUT)
    z = HELD_OUT[: len(got)]
    moments = Normal(X.mean(axis=0), X.std(axis=0)).log_prob(z)
    standard = SAME.prior({}).log_prob(z)
    for reference in (moments, standard):
        gain = np.asarray(got - reference, np.float64)
        error = gain.std() / math.sqrt(len(gain))
        print(f"{name}: {gain.mean():.3f} nats better, standard error {error:.3f}")
        assert gain.mean() > 6 * error
    loss = np.asarray(toy.log_prob(TRUTH, z) - got, np.float64)
    print(f"{loss.mean():.3f} nats short of the truth")
    assert loss.mean() > -6 * loss.std() / math.sqrt(len(loss))


@pytest.mark.parametrize("name", NAMES)
def test_draws_are_near_the_codes_and_those_of_an_example_from_its_own_key(name):
    law = fitted(name)
    z = toy.sample(law, jax.random.key(1), (200,))
    assert z.shape == (200, 2)
    moments = Normal(X.mean(axis=0), X.std(axis=0)).sample(jax.random.key(2), (200,))
    own, others = toy.log_prob(TRUTH, z), toy.log_prob(TRUTH, moments)
    print(
        f"{name}: median {jnp.median(own):.1f} nats, a normal {jnp.median(others):.1f}"
    )
    assert jnp.median(own) > jnp.median(others) + 3
    np.testing.assert_allclose(z.std(axis=0), X.std(axis=0), rtol=0.25)
    np.testing.assert_allclose(z.mean(axis=0), X.mean(axis=0), atol=0.5)
    each = toy.sample(law, toy.keys(0, 3), (200,))
    assert each.shape == (200, 3, 2)
    np.testing.assert_allclose(
        each[:, 1], toy.sample(law, toy.keys(0, 3)[1], (200,)), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_the_mixture_is_scikit_learns(covariance, monkeypatch):
    seen = []

    class Spy(sklearn.mixture.GaussianMixture):
        def fit(self, z):
            seen.append(super().fit(z))
            return self

    monkeypatch.setattr(sklearn.mixture, "GaussianMixture", Spy)
    sampler = samplers.gaussian_mixture(num_components=3, covariance=covariance)
    law = sampler(jax.random.key(4), SAME, {}, X)
    loc, scale = X.mean(axis=0), X.std(axis=0)
    standardized = np.asarray((HELD_OUT - loc) / scale, np.float64)
    expected = seen[0].score_samples(standardized) - np.log(scale).sum()
    np.testing.assert_allclose(
        toy.log_prob(law, HELD_OUT), expected, rtol=1e-4, atol=1e-4
    )


def test_one_component_is_the_normal_of_the_mean_and_covariance_of_the_codes():
    sampler = samplers.gaussian_mixture(num_components=1)
    law = sampler(jax.random.key(4), SAME, {}, X)
    tril = law.components.scale_tril[0]
    x = np.asarray(X, np.float64)
    np.testing.assert_allclose(law.mean(), x.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(tril @ tril.T, np.cov(x.T, bias=True), rtol=1e-4)


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_codes_in_any_unit_are_fitted_alike(covariance):
    sampler = samplers.gaussian_mixture(num_components=1, covariance=covariance)
    law = sampler(jax.random.key(0), SAME, {}, 1e-5 * X)
    draws = law.sample(jax.random.key(1), (4000,))
    np.testing.assert_allclose(draws.std(axis=0), 1e-5 * X.std(axis=0), rtol=0.05)


def test_the_aggregated_posterior_is_the_mean_of_the_posteriors():
    model, params = small_model()
    law = samplers.aggregated_posterior()(jax.random.key(0), model, params, X[:50])
    q = model.encode(params, X[:50])
    terms = toy.log_normal(np.asarray(HELD_OUT[:9])[:, None], q.loc, q.scale)
    expected = scipy.special.logsumexp(terms, axis=-1) - np.log(50)
    np.testing.assert_allclose(toy.log_prob(law, HELD_OUT[:9]), expected, rtol=1e-4)
    one = samplers.aggregated_posterior()(jax.random.key(0), model, params, X[:1])
    expected = toy.log_normal(HELD_OUT[:9], q.loc[0], q.scale[0])
    np.testing.assert_allclose(toy.log_prob(one, HELD_OUT[:9]), expected, rtol=1e-4)
    points = samplers.aggregated_posterior()(jax.random.key(0), SAME, {}, X[:5])
    drawn = toy.sample(points, jax.random.key(1), (40,))
    assert {*map(tuple, drawn.tolist())} == {*map(tuple, X[:5].tolist())}


def test_the_prior_has_its_own_noise_times_the_temperature():
    key = jax.random.key(0)
    assert samplers.prior()(key, SAME, {}, X).scale.tolist() == [1, 1]
    assert samplers.prior(temperature=0.5)(key, SAME, {}, X).scale.tolist() == [0.5] * 2
    model, params = small_model(priors.vamp(2, num_components=3))
    own = model.prior(params)
    cold = samplers.prior(temperature=0.5)(key, model, params, X)
    np.testing.assert_allclose(cold.components.scale, own.components.scale / 2)
    np.testing.assert_array_equal(cold.components.loc, own.components.loc)
    model, params = small_model(priors.autoregressive(2))
    samplers.prior()(key, model, params, X)
    with pytest.raises(TypeError, match="Autoregressive has no temperature"):
        samplers.prior(temperature=0.5)(key, model, params, X)


def test_rescaling_is_a_change_of_variables():
    base, loc, scale = SAME.prior({}), jnp.array([1.0, -2.0]), jnp.array([0.5, 3.0])
    law, expected = Rescaled(base, loc, scale), Normal(loc, scale)
    np.testing.assert_allclose(toy.log_prob(law, X), expected.log_prob(X), rtol=1e-5)
    key = jax.random.key(5)
    got, expected = toy.sample(law, key), expected.sample(jax.random.clone(key))
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_too_few_examples_are_an_error_that_names_both_numbers():
    with pytest.raises(ValueError, match=r"10 components .* got 4"):
        samplers.gaussian_mixture()(jax.random.key(0), SAME, {}, X[:4])


@pytest.mark.parametrize(
    ("factory", "flags", "match"),
    [
        (samplers.prior, {"temperature": 0.0}, "positive and finite, got 0"),
        (samplers.gaussian_mixture, {"num_components": 0}, "at least 1, got 0"),
        (samplers.gaussian_mixture, {"covariance": "tied"}, "diagonal, got 'tied'"),
        (samplers.two_stage, {"num_steps": 0}, "at least 1, got 0"),
        (samplers.two_stage, {"hidden": (0,)}, "at least 1"),
        (samplers.flow, {"batch_size": 0}, "at least 1, got 5000 and 0"),
        (samplers.flow, {"num_flows": 0}, "at least 1, got 1 and 0"),
        (samplers.flow, {"learning_rate": -1.0}, "must be positive .* got -1"),
        (samplers.two_stage, {"learning_rate": float("nan")}, "positive .* got nan"),
        (samplers.flow, {"flow": flows.planar}, "forward only"),
    ],
)
def test_what_a_factory_cannot_use_is_an_error_that_names_it(factory, flags, match):
    with pytest.raises(ValueError, match=match):
        factory(**flags)


def test_a_fit_that_diverges_is_an_error():
    law = samplers.flow(flow=MAF, num_steps=60, batch_size=100, learning_rate=1e30)
    with pytest.raises(ValueError, match=r"last .* of 60 steps were not finite"):
        law(jax.random.key(0), SAME, {}, X)
