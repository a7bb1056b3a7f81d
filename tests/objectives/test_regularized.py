import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vaejax
from tests import toy
from vaejax import likelihoods, networks, posteriors, priors
from vaejax.base import Family
from vaejax.objectives import reconstruction, regularized
from vaejax.objectives.regularized import weights
from vaejax.spectral_norm import spectral_norm

LATENT = 3
NETWORK = networks.mlp(hidden=(7,))


def model_of(likelihood, posterior=posteriors.point_mass, latent_dim=LATENT):
    return vaejax.latent_variable_model(
        posterior(NETWORK, latent_dim),
        priors.standard_normal(latent_dim),
        likelihood(NETWORK, (6,)),
    )


PLAIN = reconstruction()
MODEL, X = model_of(likelihoods.bernoulli), toy.bits()
PARAMS = jax.jit(MODEL.init)(jax.random.key(0), X)
KINDS = {
    kind: regularized(kind=kind, code_weight=2.0, decoder_weight=3.0)
    for kind in ("l2", "gradient_penalty", "spectral")
}
BIG = jax.tree.map(lambda leaf: 5 * leaf + 0.1, PARAMS)  # biases that are not 0


@functools.partial(jax.jit, static_argnums=0)
def run(objective, params, seed=0):
    return objective.loss(jax.random.split(jax.random.key(seed), 8), MODEL, params, X)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_reconstruction_and_two_penalties(kind):
    loss, terms = run(KINDS[kind], BIG)
    plain, _ = run(PLAIN, BIG)
    z = np.asarray(MODEL.encode(BIG, X).mean())
    np.testing.assert_allclose(terms["code"], 0.5 * (z**2).sum(axis=1), rtol=1e-5)
    np.testing.assert_allclose(terms["distortion"], plain, rtol=1e-6)
    expected = plain + 2 * terms["code"] + 3 * terms["regularizer"]
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    assert terms["regularizer"].min() > 0


def test_l2_is_the_squared_norm_of_all_weights_of_the_decoder():
    _, terms = run(KINDS["l2"], BIG)
    leaves = jax.tree.leaves(BIG["likelihood"])
    expected = sum((np.asarray(leaf, np.float64) ** 2).sum() for leaf in leaves)
    np.testing.assert_allclose(terms["regularizer"], np.full(8, expected), rtol=1e-5)


@pytest.mark.parametrize("scale", ["optimal", "per_dimension"])
def test_parameters_that_are_no_weights_of_a_network_are_not_counted(scale):
    model = model_of(functools.partial(likelihoods.normal, scale=scale))
    params = jax.eval_shape(model.init, jax.random.key(0), X)
    own = params["likelihood"]["decoder"]
    assert len(jax.tree.leaves(params["likelihood"])) == 5
    assert len(weights(params)) == len(jax.tree.leaves(own)) == 4


def test_the_gradient_penalty_is_the_squared_norm_of_the_jacobian_on_average():
    z = MODEL.encode(BIG, X).mean()

    @jax.jit
    def exact(z):
        jacobian = jax.jacobian(lambda z: MODEL.decode(BIG, z).mean())
        return (jax.vmap(jacobian)(z) ** 2).sum(axis=(1, 2))

    @jax.jit
    @jax.vmap
    def draws(key):
        objective = regularized(kind="gradient_penalty")
        keys = jax.random.split(key, 8)
        return objective.loss(keys, MODEL, BIG, X)[1]["regularizer"]

    found = np.asarray(draws(toy.keys(1, 4000)))
    assert (found.std(axis=0) > 0.1 * found.mean(axis=0)).all()
    toy.same_mean(found, exact(z))


def test_with_one_latent_the_gradient_penalty_is_exact_in_every_draw():
    model = model_of(likelihoods.bernoulli, latent_dim=1)
    params = jax.jit(model.init)(jax.random.key(0), X)

    @jax.jit
    def both(keys):
        objective = regularized(kind="gradient_penalty")
        _, terms = objective.loss(keys, model, params, X)
        z = model.encode(params, X).mean()
        slope = jax.vmap(jax.jacobian(lambda z: model.decode(params, z).mean()))(z)
        return terms["regularizer"], (slope**2).sum(axis=(1, 2))

    np.testing.assert_allclose(*both(toy.keys(0, 8)), rtol=1e-5)


def test_the_spectral_penalty_is_the_sum_of_numpys_squared_norms():
    _, terms = run(KINDS["spectral"], BIG)
    network = BIG["likelihood"]["network"]["params"]["dense_0"]["kernel"]
    kernels = [network, BIG["likelihood"]["head"]["kernel"]]
    expected = sum(np.linalg.norm(kernel, 2) ** 2 for kernel in kernels)
    assert len(np.unique(terms["regularizer"])) == 1
    np.testing.assert_allclose(terms["regularizer"][0], expected, rtol=0.02)
    assert terms["regularizer"][0] < expected * (1 + 1e-5)  # it comes from below


def test_the_gradient_of_the_spectral_norm_is_the_outer_product_of_its_vectors():
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.normal(size=(n, 4)))[0] for n in (6, 5))
    matrix = (left * [3.0, 1.0, 0.5, 0.1]) @ right.T
    norm, grad = jax.value_and_grad(lambda m: spectral_norm(jax.random.key(0), m))(
        jnp.asarray(matrix, jnp.float32)
    )
    np.testing.assert_allclose(norm, 3, rtol=1e-5)
    np.testing.assert_allclose(grad, np.outer(left[:, 0], right[:, 0]), atol=1e-4)


def test_a_decoder_of_zeros_has_finite_penalties_and_gradients():
    @jax.jit
    @jax.grad
    def gradient(params):
        kinds = ("gradient_penalty", "spectral")
        losses = [run(regularized(kind=kind), params)[0] for kind in kinds]
        return jnp.stack(losses).mean()

    grads = gradient(jax.tree.map(jnp.zeros_like, PARAMS))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))


def test_a_likelihood_without_weights_is_an_error():
    def make(params, z):
        return likelihoods.bernoulli(NETWORK, (6,)).make(PARAMS["likelihood"], z)

    model = model_of(lambda network, shape: Family(lambda key, z: {}, make))
    params = PARAMS | {"likelihood": {}}
    with pytest.raises(ValueError, match=r"no network or head"):
        jax.eval_shape(
            lambda x: regularized().loss(toy.keys(0, 8), model, params, x), X
        )


def test_wrong_arguments_are_errors():
    with pytest.raises(ValueError, match=r"l2, gradient_penalty, spectral, got 'l1'"):
        regularized(kind="l1")
    for name in ("code_weight", "decoder_weight"):
        with pytest.raises(ValueError, match=r"at least 0.*got -1"):
            regularized(**{name: -1})
