import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from tests import toy
from vaejax.objectives import elbo, iwae
from vaejax.rates import sampled

EXACT = toy.linear_gaussian()
MODEL, X = EXACT.model(), EXACT.draw(16)


def test_one_particle_is_the_elbo_with_a_sampled_rate():
    params = EXACT.params(0.7, 1.4)
    one, terms = iwae(num_particles=1).loss(toy.keys(0, 16), MODEL, params, X)
    bound, own = elbo(rate=sampled).loss(toy.keys(0, 16), MODEL, params, X)
    np.testing.assert_allclose(one, bound, rtol=1e-6)
    np.testing.assert_allclose(terms["rate"], own["rate"], rtol=1e-6)
    np.testing.assert_allclose(terms["distortion"], own["distortion"], rtol=1e-6)


def test_the_bound_is_tight_at_the_true_posterior_for_every_draw():
    loss, metrics = iwae(num_particles=5).loss(
        toy.keys(0, 16), MODEL, EXACT.params(), X
    )
    np.testing.assert_allclose(-loss, EXACT.log_prob(X), atol=1e-4)
    np.testing.assert_allclose(metrics["effective_sample_size"], 5, rtol=1e-4)


def test_it_is_the_log_of_the_mean_weight():
    params, K = EXACT.params(0.7, 1.4), 4
    loss, metrics = iwae(num_particles=K).loss(toy.keys(0, 16), MODEL, params, X)
    z = np.asarray(MODEL.encode(params, X).sample(toy.keys(0, 16), (K,)))  # [K, B, D]
    q = EXACT.loc(X) + 0.7 * EXACT.scale(), 1.4 * EXACT.scale()
    log_w = toy.log_normal(X, z @ EXACT.weight + EXACT.bias, EXACT.noise)
    log_w += toy.log_normal(z, 0, 1) - toy.log_normal(z, *q)  # [K, B]
    expected = scipy.special.logsumexp(log_w, axis=0) - np.log(K)
    np.testing.assert_allclose(-loss, expected, rtol=1e-4, atol=1e-4)
    w = np.exp(log_w)
    ess = w.sum(axis=0) ** 2 / (w**2).sum(axis=0)
    np.testing.assert_allclose(metrics["effective_sample_size"], ess, rtol=1e-3)
    np.testing.assert_allclose(
        metrics["rate"] + metrics["distortion"], -log_w.mean(axis=0), rtol=1e-4
    )


def test_more_particles_bound_more_tightly_and_never_from_above():
    """Theorem 1 of the paper: E[L_1] <= E[L_50] <= log p(x)."""
    params = EXACT.params(1.0, 1.5)

    @jax.jit
    @jax.vmap
    def bounds(key):
        one, many = jax.random.split(key)

        def bound(key, num_particles):
            objective = iwae(num_particles=num_particles)
            return -objective.loss(jax.random.split(key, 16), MODEL, params, X)[0]

        return bound(one, 1), bound(many, 50)

    one, many = (np.asarray(b, float) for b in bounds(toy.keys(2, 500)))  # [500, B]
    error = np.sqrt((one.var(axis=0) + many.var(axis=0)) / len(one))
    assert (many.mean(axis=0) - one.mean(axis=0) > 5 * error).all()
    gap = EXACT.log_prob(X) - many.mean(axis=0)
    assert (gap > -5 * many.std(axis=0) / np.sqrt(len(many))).all()
    assert (gap < 0.1).all()  # and it is tighter than it would be by accident
    assert (EXACT.log_prob(X) - one.mean(axis=0) > 0.5).all()


def test_the_gradient_weighs_the_particles_by_their_weights():
    """Autodiff gives the sum over k of w_k grad log w_k, w normalised."""
    params, K = EXACT.params(0.7, 1.4), 3

    @jax.jit
    def gradients(key):
        def loss(params):
            keys = jax.random.split(jax.random.clone(key), 16)
            return iwae(num_particles=K).loss(keys, MODEL, params, X)[0].sum()

        def by_hand(params):
            keys = jax.random.split(key, 16)
            q, p = MODEL.encode(params, X), MODEL.prior(params)
            z, log_q = q.sample_and_log_prob(keys, (K,))
            log_w = MODEL.decode(params, z).log_prob(X) + p.log_prob(z) - log_q
            w = jnp.exp(log_w) / jnp.exp(log_w).sum(axis=0)
            return -(jax.lax.stop_gradient(w) * log_w).sum()

        return jax.grad(loss)(params), jax.grad(by_hand)(params)

    got, expected = gradients(jax.random.key(0))
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)


def test_fewer_than_one_particle_is_an_error():
    with pytest.raises(ValueError, match=r"num_particles.*got 0"):
        iwae(num_particles=0)
