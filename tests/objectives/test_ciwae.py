import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import toy
from vaejax.objectives import ciwae, elbo, iwae
from vaejax.rates import sampled

EXACT = toy.linear_gaussian()
MODEL, X, PARAMS = EXACT.model(), EXACT.draw(16), EXACT.params(0.7, 1.4)


@functools.partial(jax.jit, static_argnums=0)
def loss(objective):
    return objective.loss(toy.keys(0, 16), MODEL, PARAMS, X)[0]


def test_beta_goes_from_iwae_at_0_to_the_elbo_at_1_in_a_line():
    tight, loose = (
        loss(iwae(num_particles=5)),
        loss(elbo(rate=sampled, num_particles=5)),
    )
    assert (np.abs(tight - loose) > 0.01).all()
    at = jax.jit(lambda beta: loss(ciwae(num_particles=5, beta=beta)))
    for beta in (0.0, 0.25, 0.6, 1.0):
        expected = beta * loose + (1 - beta) * tight
        np.testing.assert_allclose(at(beta), expected, rtol=1e-6)


def test_one_particle_is_the_elbo_whatever_beta():
    expected = loss(elbo(rate=sampled))
    np.testing.assert_allclose(loss(ciwae(num_particles=1)), expected, rtol=1e-6)


@pytest.mark.parametrize("beta", [-0.1, 1.1, float("nan")])
def test_a_python_beta_outside_0_to_1_is_an_error(beta):
    with pytest.raises(ValueError, match=r"beta.*from 0 to 1.*got"):
        ciwae(beta=beta)


def test_a_traced_beta_is_not_looked_at():
    jax.eval_shape(lambda beta: (ciwae(beta=beta), beta)[1], jnp.float32(1))
