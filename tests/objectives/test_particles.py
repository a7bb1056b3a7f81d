"""Estimators of the gradients of importance-weighted bounds.

With one latent every expectation over K draws is a sum over a grid: `ON_GRID` is a
model whose draws are told, one example for each point of the grid.
"""

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from flax import struct

import vaejax
from tests import toy
from vaejax import likelihoods, networks, posteriors, priors
from vaejax.base import Distribution, Family
from vaejax.distributions import Bernoulli, Normal
from vaejax.objectives import ciwae, iwae, miwae, piwae, renyi

IMAGE, FEATURE = np.array([1.0, 0.0, 1.0]), 1.0
PARAMS = {
    "posterior": {"gain": 0.4, "loc": -0.3, "log_scale": -0.2},
    "prior": {"pseudo": 0.9},
    "likelihood": {"weight": np.array([1.3, -0.8, 0.5]), "bias": 0.2},
}


@struct.dataclass
class Told(Normal):
    """A normal whose draws are loc + scale * eps, eps `[K, B, 1]`."""

    eps: Any = None

    def sample(self, key, sample_shape=()):
        assert sample_shape == self.eps.shape[:1]
        return self.loc + self.scale * self.eps


@struct.dataclass
class OfImage(Bernoulli):
    """The density of the image alone."""

    def log_prob(self, value):
        return super().log_prob(value["image"])


def encode(params, x):
    posterior = params["posterior"]
    loc = posterior["gain"] * x["feature"] + posterior["loc"]
    return Told(loc, jnp.exp(posterior["log_scale"]), eps=x["eps"])


def decode(params, z):
    likelihood = params["likelihood"]
    return OfImage(likelihood["weight"] * z + likelihood["bias"])


def prior_of(params):
    """Made of the encoder, as a VampPrior is: the posterior's parameters are its."""
    q = encode(params, {"feature": params["prior"]["pseudo"], "eps": None})
    return Normal(q.loc, 2 * q.scale)


STATIC = ("num_particles", "num_bounds")
ALL = ("pathwise", "stl", "dreg")  # in which no particle is drawn again
ON_GRID = vaejax.Model(None, encode, decode, prior_of)


@functools.cache
def grid(num_particles):
    """Gauss-Hermite nodes `[K, B]` and weights `[B]` of K standard normals."""
    num_nodes = {1: 40, 2: 40, 3: 30, 4: 12}[num_particles]
    nodes, weights = np.polynomial.hermite_e.hermegauss(num_nodes)
    points = np.array(list(itertools.product(nodes, repeat=num_particles))).T
    products = itertools.product(weights / weights.sum(), repeat=num_particles)
    return points, np.prod(list(products), axis=1)


@functools.partial(jax.jit, static_argnums=(0, 1, 2), static_argnames=STATIC)
def expected_gradients(factory, names, total, /, **arguments):
    """E[gradient] by quadrature over `total` draws, for each estimator named."""
    eps, weights = grid(total)
    x = {"image": IMAGE, "feature": FEATURE, "eps": eps[..., None]}

    def gradient(params, name):
        def mean(params):
            objective = factory(**arguments, gradient=name)
            keys = toy.keys(0, len(weights))
            return (weights * objective.loss(keys, ON_GRID, params, x)[0]).sum()

        return jax.grad(mean)(params)

    return {name: gradient(jax.tree.map(jnp.asarray, PARAMS), name) for name in names}


def expected_bound(bound, num_particles, posterior):
    """E[bound] by quadrature, in numpy; `bound` maps `[K, B]` log weights to `[B]`."""
    (eps, weights), p = grid(num_particles), PARAMS["prior"]
    gain, loc, scale = *list(posterior)[:2], np.exp(posterior[2])
    z = gain * FEATURE + loc + scale * eps  # [K, B]
    logits = z[..., None] * PARAMS["likelihood"]["weight"]
    logits = logits + PARAMS["likelihood"]["bias"]
    log_w = (IMAGE * logits + scipy.special.log_expit(-logits)).sum(axis=-1)
    log_w += toy.log_normal(z[..., None], gain * p["pseudo"] + loc, 2 * scale)
    log_w -= toy.log_normal(eps[..., None], 0, 1) - np.log(scale)
    return weights @ bound(log_w)


def true_gradient(bound, num_particles):
    """The derivative of -E[bound] in the posterior's parameters: differences."""
    at, step = np.array(list(PARAMS["posterior"].values())), 1e-5

    def slope(direction):
        high, low = (
            expected_bound(bound, num_particles, at + sign * step * direction)
            for sign in (1, -1)
        )
        return (low - high) / (2 * step)

    return np.array([slope(direction) for direction in np.eye(3)])


def vector(gradient):
    """The posterior's part of a gradient."""
    return np.array([gradient["posterior"][name] for name in PARAMS["posterior"]])


def mean(log_w):
    return log_w.mean(axis=0)


def log_mean(log_w):
    return scipy.special.logsumexp(log_w, axis=0) - np.log(len(log_w))


def assert_same_for_the_model(got, expected):
    for part in ("prior", "likelihood"):
        for name, value in expected[part].items():
            np.testing.assert_allclose(got[part][name], value, rtol=1e-9)


@pytest.mark.parametrize(
    ("num_particles", "unbiased"),
    [(1, ("pathwise", "stl", "dreg")), (2, ("pathwise", "dreg")), (3, ("dreg",))],
)
def test_the_estimators_of_iwae_are_unbiased_by_quadrature(num_particles, unbiased):
    with jax.enable_x64(True):
        got = expected_gradients(iwae, ALL, num_particles, num_particles=num_particles)
    expected = true_gradient(log_mean, num_particles)
    for name in unbiased:
        np.testing.assert_allclose(vector(got[name]), expected, rtol=1e-6, err_msg=name)
    for name in ("stl", "dreg"):
        assert_same_for_the_model(got[name], got["pathwise"])
    bias = np.linalg.norm(vector(got["stl"]) - expected) / np.linalg.norm(expected)
    print(f"the bias of stl is {bias:.0%} of the gradient")
    # The figures in the docstring of `iwae`.
    assert round(bias, 2) == {1: 0, 2: 0.41, 3: 0.67}[num_particles]


def test_dreg_is_unbiased_for_the_mean_of_two_bounds():
    with jax.enable_x64(True):
        names = ("pathwise", "dreg")
        got = expected_gradients(miwae, names, 4, num_particles=2, num_bounds=2)
    expected = true_gradient(log_mean, 2)
    np.testing.assert_allclose(vector(got["dreg"]), expected, atol=1e-4)
    assert_same_for_the_model(got["dreg"], got["pathwise"])


@pytest.mark.parametrize(
    ("factory", "flag", "bounds"),
    [
        (
            ciwae,
            "beta",
            {
                0.0: log_mean,
                0.3: lambda log_w: 0.3 * mean(log_w) + 0.7 * log_mean(log_w),
                1.0: mean,
            },
        ),
        (
            renyi,
            "alpha",
            {
                -0.5: lambda log_w: log_mean(1.5 * log_w) / 1.5,
                0.0: log_mean,
                0.4: lambda log_w: log_mean(0.6 * log_w) / 0.6,
                1.0: mean,
                1.5: lambda log_w: log_mean(-0.5 * log_w) / -0.5,
            },
        ),
    ],
)
def test_dreg_is_unbiased_for_the_bounds_between(factory, flag, bounds):
    names = ("pathwise", "dreg")
    with jax.enable_x64(True):
        for value, bound in bounds.items():
            traced = {flag: jnp.float64(value)}
            got = expected_gradients(factory, names, 2, **traced, num_particles=2)
            expected = true_gradient(bound, 2)
            for name in names:
                np.testing.assert_allclose(vector(got[name]), expected, atol=1e-5)
            assert_same_for_the_model(got["dreg"], got["pathwise"])


EXACT = toy.linear_gaussian()


def test_at_the_true_posterior_every_draw_of_stl_and_dreg_is_zero():
    model, x, params = EXACT.model(), EXACT.draw(4), EXACT.params()

    @jax.jit
    @jax.vmap
    def draws(key):
        def gradient(name, num_particles):
            objective = iwae(num_particles=num_particles, gradient=name)

            def loss(params):
                keys = jax.random.split(jax.random.clone(key), 4)
                return objective.loss(keys, model, params, x)[0].mean()

            return jax.grad(loss)(params)["posterior"]

        return {(name, K): gradient(name, K) for name in ALL for K in (1, 3)}

    for (name, _), gradients in draws(toy.keys(0, 20)).items():
        for array in jax.tree.leaves(gradients):
            spread = np.abs(array).max(axis=0)
            assert (
                (spread > 1e-2).all() if name == "pathwise" else (spread < 1e-4).all()
            )


@struct.dataclass
class Bent(Distribution):
    """A flow: the second latent is moved and stretched by the first."""

    base: Normal
    slope: jax.Array

    def sample_and_log_prob(self, key, sample_shape=()):
        u, log_q = self.base.sample_and_log_prob(key, sample_shape)
        shift = self.slope * u[..., :1]
        z = u.at[..., 1:].set(u[..., 1:] * jnp.exp(jnp.tanh(shift)) + shift)
        return z, log_q - jnp.tanh(shift)[..., 0]

    def sample(self, key, sample_shape=()):
        return self.sample_and_log_prob(key, sample_shape)[0]

    def log_prob(self, value):
        shift = self.slope * value[..., :1]
        second = (value[..., 1:] - shift) * jnp.exp(-jnp.tanh(shift))
        u = jnp.concatenate([value[..., :1], second], axis=-1)
        return self.base.log_prob(u) - jnp.tanh(shift)[..., 0]


@struct.dataclass
class OfPosteriors(Distribution):
    """An equal mixture of posteriors."""

    components: Distribution

    def log_prob(self, value):
        terms = self.components.log_prob(value[..., None, :])  # [..., 3]
        return jax.nn.logsumexp(terms, axis=-1) - jnp.log(3)


def bent_model():
    network = networks.mlp(hidden=())
    normal = posteriors.diagonal_normal(network, 2)
    posterior = Family(
        lambda key, x: {"normal": normal.init(key, x), "slope": jnp.array(0.7)},
        lambda params, x: Bent(normal.make(params["normal"], x), params["slope"]),
    )
    vamp = Family(
        lambda key, x: {"pseudo": jax.random.uniform(key, (3, 6))},
        lambda params, encode: OfPosteriors(encode(params["pseudo"])),
    )
    likelihood = likelihoods.bernoulli(network, (6,))
    return vaejax.latent_variable_model(posterior, vamp, likelihood)


def test_model_gradients_are_those_of_pathwise_in_every_draw():
    """The posterior is a flow, and the prior is made of posteriors."""
    model, x = bent_model(), toy.bits(8)
    params = jax.tree.map(lambda leaf: 3 * leaf, model.init(jax.random.key(0), x))

    @jax.jit
    def every(params):
        def value_and_grad(name):
            objective = iwae(num_particles=3, gradient=name)

            def mean(params):
                loss, metrics = objective.loss(toy.keys(1, 8), model, params, x)
                return loss.mean(), (loss, metrics)

            return jax.value_and_grad(mean, has_aux=True)(params)

        return {name: value_and_grad(name) for name in ALL}

    results = every(params)
    (_, aux), expected = results.pop("pathwise")
    for (_, own), gradient in results.values():
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4), own, aux)
        for part in ("prior", "likelihood"):
            jax.tree.map(
                functools.partial(np.testing.assert_allclose, rtol=2e-4, atol=1e-6),
                gradient[part],
                expected[part],
            )
        slopes = gradient["posterior"]["slope"], expected["posterior"]["slope"]
        assert np.abs(slopes[0] - slopes[1]) > 1e-3


@pytest.mark.parametrize(
    ("factory", "arguments"),
    [
        (iwae, {}),
        (miwae, {"num_bounds": 2, "num_particles": 2}),
        (piwae, {"num_bounds": 2, "num_particles": 2}),
        (ciwae, {"beta": 0.3}),
        (renyi, {"alpha": 0.4}),
    ],
)
def test_one_particle_drawn_again_has_the_gradient_of_dreg_on_average(
    factory, arguments
):
    arguments = {"num_particles": 4} | arguments
    eps = jnp.array([-1.5, -0.2, 0.6, 2.0])[:, None, None]  # K draws of one example
    x = {"image": jnp.asarray(IMAGE, float), "feature": FEATURE, "eps": eps}

    def gradient(name, key):
        def loss(params):
            objective = factory(**arguments, gradient=name)
            return objective.loss(key, ON_GRID, params, x)[0][0]

        return jax.value_and_grad(loss)(jax.tree.map(jnp.asarray, PARAMS))

    keys = toy.keys(1, 20_000)[:, None]
    exact = jax.jit(functools.partial(gradient, "dreg"))
    value, expected = exact(toy.keys(2, 1))
    values, got = jax.jit(jax.vmap(functools.partial(gradient, "resampled")))(keys)
    np.testing.assert_allclose(values, value, rtol=1e-5)
    jax.tree.map(toy.same_mean, got, expected)


def test_only_one_resampled_particle_goes_backward():
    network = networks.mlp(hidden=(100,))
    model = vaejax.latent_variable_model(
        posteriors.diagonal_normal(network, 2),
        priors.standard_normal(2),
        likelihoods.bernoulli(network, (100,)),
    )
    x = jnp.zeros((8, 100))
    params = jax.eval_shape(model.init, jax.random.key(0), x)

    def num_flops(name, differentiate=jax.grad):
        def mean(params, key):
            objective = iwae(num_particles=50, gradient=name)
            return objective.loss(key, model, params, x)[0].mean()

        program = jax.jit(differentiate(mean)).lower(params, jax.random.key(0))
        return program.compile().cost_analysis()["flops"]

    forward = num_flops("pathwise", lambda function: function)
    assert num_flops("resampled") < 1.3 * forward < num_flops("pathwise") / 2


def test_dreg_costs_no_product_that_pathwise_does_not():
    model, x = toy.small_vae(), toy.bits(8)
    params = jax.eval_shape(model.init, jax.random.key(0), x)

    def num_products(name):
        def mean(params, key):
            objective = iwae(num_particles=3, gradient=name)
            keys = jax.random.split(key, 8)
            return objective.loss(keys, model, params, x)[0].mean()

        program = jax.jit(jax.grad(mean)).lower(params, jax.random.key(0)).compile()
        return program.as_text().count(" dot(")

    assert num_products("dreg") == num_products("pathwise") > 5


@struct.dataclass
class TwoLayers(Distribution):
    """z = (z_1, z_2), z_2 ~ N(gain z_1, 1); it has rates, and no joint density."""

    top: Normal
    gain: jax.Array

    def sample_and_rates(self, key, prior, rate, sample_shape=()):
        one, two = vaejax.base.split(key)
        z_1, log_q = self.top.sample_and_log_prob(one, sample_shape)
        q_2, p_2 = Normal(self.gain * z_1, jnp.ones(2)), Normal(z_1, jnp.ones(2))
        z_2, log_q_2 = q_2.sample_and_log_prob(two)
        rates = rate(self.top, prior, z_1, log_q), rate(q_2, p_2, z_2, log_q_2)
        return (z_1, z_2), rates


def test_a_hierarchy_has_every_bound_but_not_dreg():
    flat, x = toy.small_vae(), toy.bits(8)
    params = flat.init(jax.random.key(0), x)
    model = flat._replace(
        encode=lambda params, x: TwoLayers(flat.encode(params, x), jnp.array(0.6)),
        decode=lambda params, z: flat.decode(params, z[1]),
    )
    two = {"num_particles": 2, "num_bounds": 2}
    objectives = {
        iwae: {"num_particles": 4},
        miwae: two,
        piwae: two,
        ciwae: {"num_particles": 4},
        renyi: {"num_particles": 4},
    }

    @jax.jit
    def everything():
        q, p = model.encode(params, x), model.prior(params)
        z, rates = q.sample_and_rates(toy.keys(0, 8), p, vaejax.rates.sampled, (4,))
        log_w = model.decode(params, z).log_prob(x) - sum(rates)
        return log_w, {
            factory.__name__: [
                factory(**arguments, gradient=name).loss(
                    toy.keys(0, 8), model, params, x
                )
                for name in ("pathwise", "stl")
            ]
            for factory, arguments in objectives.items()
        }

    log_w, results = everything()
    log_w = np.asarray(log_w, float)  # [4, B]
    expected = {
        iwae: log_mean(log_w),
        miwae: (log_mean(log_w[:2]) + log_mean(log_w[2:])) / 2,
        piwae: log_mean(log_w),
        ciwae: 0.5 * log_mean(log_w) + 0.5 * mean(log_w),
        renyi: 2 * log_mean(0.5 * log_w),
    }
    ess = 1 / (scipy.special.softmax(log_w, axis=0) ** 2).sum(axis=0)
    for factory, bound in expected.items():
        for loss, metrics in results[factory.__name__]:
            np.testing.assert_allclose(-loss, bound, rtol=1e-5)
            np.testing.assert_allclose(metrics["effective_sample_size"], ess, rtol=1e-4)
    with pytest.raises(TypeError, match="cannot be sampled"):
        iwae(gradient="dreg").loss(toy.keys(0, 8), model, params, x)


@pytest.mark.parametrize("factory", [iwae, miwae, piwae, ciwae, renyi])
def test_a_bad_count_or_estimator_is_an_error(factory):
    with pytest.raises(ValueError, match=r"num_particles.*at least 1.*0"):
        factory(num_particles=0)
    with pytest.raises(
        ValueError, match=r"pathwise, stl, dreg, resampled, got 'score'"
    ):
        factory(gradient="score")


def test_a_particle_is_not_drawn_again_for_a_likelihood_that_fits_the_batch():
    network = networks.mlp(hidden=(3,))
    model = vaejax.latent_variable_model(
        posteriors.diagonal_normal(network, 2),
        priors.standard_normal(2),
        likelihoods.normal(network, (6,), scale="optimal"),
    )
    params = model.init(jax.random.key(0), toy.bits(8))
    with pytest.raises(TypeError, match="resampled' judges examples one by one"):
        iwae(gradient="resampled").loss(toy.keys(0, 8), model, params, toy.bits(8))
