import functools

import jax
import numpy as np
import pytest

from tests import toy
from vaejax.objectives import elbo, iwae, miwae
from vaejax.rates import sampled

EXACT = toy.linear_gaussian()
MODEL, X, PARAMS = EXACT.model(), EXACT.draw(16), EXACT.params(0.7, 1.4)


@functools.partial(jax.jit, static_argnums=0)
def loss_and_metrics(objective):
    return objective.loss(toy.keys(0, 16), MODEL, PARAMS, X)


def test_one_bound_is_iwae_and_bounds_of_one_particle_are_the_elbo():
    one_bound = loss_and_metrics(miwae(num_particles=6, num_bounds=1))
    elbos = loss_and_metrics(miwae(num_particles=1, num_bounds=6))
    expected = loss_and_metrics(iwae(num_particles=6))
    np.testing.assert_allclose(one_bound[0], expected[0], rtol=1e-6)
    bound, _ = loss_and_metrics(elbo(rate=sampled, num_particles=6))
    np.testing.assert_allclose(elbos[0], bound, rtol=1e-6)
    for name in expected[1]:
        for own in (one_bound[1][name], elbos[1][name]):
            np.testing.assert_allclose(own, expected[1][name], rtol=1e-5)


def test_it_is_the_mean_of_bounds_over_disjoint_particles():
    q, p = MODEL.encode(PARAMS, X), MODEL.prior(PARAMS)
    z, log_q = q.sample_and_log_prob(toy.keys(0, 16), (6,))
    log_w = MODEL.decode(PARAMS, z).log_prob(X) + p.log_prob(z) - log_q  # [6, B]
    w = np.exp(np.asarray(log_w, float))
    expected = (np.log(w[:3].mean(axis=0)) + np.log(w[3:].mean(axis=0))) / 2
    loss, _ = loss_and_metrics(miwae(num_particles=3, num_bounds=2))
    np.testing.assert_allclose(-loss, expected, rtol=1e-4)


def test_fewer_than_one_bound_is_an_error():
    with pytest.raises(ValueError, match=r"at least 1, got 3 and 0"):
        miwae(num_particles=3, num_bounds=0)
