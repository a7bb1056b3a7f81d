import jax
import numpy as np
import pytest
import scipy.special

from tests import toy
from vaejax.objectives import elbo, iwae, renyi
from vaejax.rates import sampled

EXACT = toy.linear_gaussian()
MODEL, X, PARAMS = EXACT.model(), EXACT.draw(16), EXACT.params(0.7, 1.4)
K = 5


def loss(objective, params=PARAMS):
    return objective.loss(toy.keys(0, 16), MODEL, params, X)[0]


@jax.jit
def at(alpha):
    """The loss and the mean's gradient, alpha traced."""

    def mean(params):
        own = loss(renyi(num_particles=K, alpha=alpha), params)
        return own.mean(), own

    grads, own = jax.grad(mean, has_aux=True)(PARAMS)
    return own, grads


def log_weights():
    q, p = MODEL.encode(PARAMS, X), MODEL.prior(PARAMS)
    z, log_q = q.sample_and_log_prob(toy.keys(0, 16), (K,))
    log_w = MODEL.decode(PARAMS, z).log_prob(X) + p.log_prob(z) - log_q
    return np.asarray(log_w, float)  # [K, B]


def test_it_is_the_log_of_the_power_mean_of_the_weights():
    log_w = log_weights()
    for alpha in (-2.0, 0.3, 0.9, 3.0):
        power = 1 - alpha
        expected = scipy.special.logsumexp(power * log_w, axis=0) - np.log(K)
        np.testing.assert_allclose(-at(alpha)[0], expected / power, rtol=1e-5)


def test_alpha_0_is_iwae_and_alpha_1_the_elbo_in_value_and_gradient():
    objectives = iwae(num_particles=K), elbo(rate=sampled, num_particles=K)

    @jax.jit
    def limits():
        def value_and_grad(objective):
            def mean(params):
                own = loss(objective, params)
                return own.mean(), own

            return jax.grad(mean, has_aux=True)(PARAMS)

        return [value_and_grad(objective) for objective in objectives]

    for alpha, (expected, expected_loss) in zip((0.0, 1.0), limits(), strict=True):
        own, grads = at(alpha)
        np.testing.assert_allclose(own, expected_loss, rtol=1e-6)
        for a, b in zip(jax.tree.leaves(grads), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    own = loss(renyi(num_particles=K, alpha=1.0))  # a Python number
    np.testing.assert_allclose(own, at(1.0)[0], rtol=1e-6)


def test_the_limit_at_1_is_reached_from_both_sides_without_losing_digits():
    at_1, gradient = at(1.0)
    slope = (log_weights().var(axis=0)) / 2  # of the bound in 1 - alpha, at alpha = 1
    for power in (1e-2, 1e-3, 1e-5, -1e-5, -1e-3, -1e-2):
        alpha = np.float32(1 - power)
        own, grads = at(alpha)
        moved = (1 - float(alpha)) * slope
        error = np.abs(own - (at_1 - moved))
        assert (error < 0.2 * np.abs(moved) + 1e-6 * np.abs(at_1)).all()
        for a, b in zip(jax.tree.leaves(grads), jax.tree.leaves(gradient), strict=True):
            np.testing.assert_allclose(a, b, atol=300 * abs(power) + 1e-4)


def test_the_bound_falls_as_alpha_grows():
    """A power mean rises with its power, from the least to the greatest."""
    bounds = [-at(alpha)[0] for alpha in (-20.0, -1.0, 0.0, 0.5, 1.0, 2.0, 20.0)]
    assert (np.diff(bounds, axis=0) < 0).all()
    log_w = log_weights()
    assert (bounds[0] < log_w.max(axis=0)).all()
    assert (bounds[-1] > log_w.min(axis=0)).all()


def test_extreme_weights_have_finite_values_and_gradients():
    far = EXACT.params(300.0, 1.4)

    @jax.jit
    def grads(alpha):
        def mean(params):
            return loss(renyi(num_particles=K, alpha=alpha), params).mean()

        return jax.value_and_grad(mean)(far)

    for alpha in (-50.0, 0.0, 0.999, 1.0, 1.001, 50.0):
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads(alpha)))


@pytest.mark.parametrize("alpha", [float("nan"), float("inf")])
def test_a_python_alpha_that_is_not_finite_is_an_error(alpha):
    with pytest.raises(ValueError, match=r"alpha.*finite.*got"):
        renyi(alpha=alpha)
