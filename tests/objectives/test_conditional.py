import jax
import numpy as np

from tests import toy, toy_conditional
from vaejax.base import Objective
from vaejax.objectives import conditional, elbo, iwae

EXACT = toy_conditional.conditional_gaussian()
MODEL = EXACT.model()
X, LABEL = EXACT.draw(8)


def test_the_bound_is_tight_at_the_true_posterior_given_y():
    loss, _ = conditional(iwae(num_particles=4)).loss(
        toy.keys(0, 8), MODEL, EXACT.params(), (X, LABEL)
    )
    np.testing.assert_allclose(-loss, EXACT.log_prob(X, LABEL), atol=1e-4)


def test_it_is_the_objective_on_the_model_given_y():
    params = EXACT.params(0.5, 1.2)
    loss, metrics = conditional(elbo()).loss(toy.keys(0, 8), MODEL, params, (X, LABEL))
    expected, own = elbo().loss(toy.keys(0, 8), MODEL.given(LABEL), params, X)
    np.testing.assert_array_equal(loss, expected)
    np.testing.assert_array_equal(metrics["rate"], own["rate"])


def test_what_the_objective_learns_begins_with_x_and_the_model_given_y():
    def init(key, model, params, x):
        return {"width": x.shape[-1], "rate": model.encode(params, x).loc.shape}

    learns = Objective(elbo().loss, init)
    got = conditional(learns).init(jax.random.key(0), MODEL, EXACT.params(), (X, LABEL))
    assert got == {"width": 4, "rate": (8, 2)}
