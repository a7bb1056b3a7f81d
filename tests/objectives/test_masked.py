import jax
import jax.numpy as jnp
import numpy as np

from tests import toy, toy_missing
from vaejax.base import Objective
from vaejax.missing import mask_blind
from vaejax.objectives import elbo, iwae, masked

EXACT = toy.linear_gaussian()
MODEL, X = EXACT.model(), EXACT.draw(8)
BLIND = mask_blind(MODEL)
MASK = jnp.arange(32).reshape(8, 4) % 3 > 0


def test_the_bound_is_tight_at_the_true_posterior_given_what_was_observed():
    exact = toy.linear_gaussian(dim=1)
    x, seen = exact.draw(8), jnp.array([1, 0, 1, 0])
    loss, metrics = masked(iwae(num_particles=3)).loss(
        toy.keys(0, 8),
        mask_blind(exact.model()),
        toy_missing.true_posterior(exact, seen),
        (jnp.where(seen, x, jnp.nan), seen),
    )
    expected = [toy_missing.hidden(exact, row, seen).log_prob for row in x]
    np.testing.assert_allclose(-loss, expected, atol=1e-4)
    np.testing.assert_allclose(metrics["effective_sample_size"], 3, rtol=1e-4)


def test_the_mean_weight_is_the_exact_marginal_of_what_was_observed():
    """exp of the bound has the mean p(x_observed) for every encoder and K."""
    params = EXACT.params(stretch=2.5)

    @jax.jit
    @jax.vmap
    def bound(key):
        keys = jax.random.split(key, 8)
        return -masked(iwae(num_particles=8)).loss(keys, BLIND, params, (X, MASK))[0]

    exact = [
        toy_missing.hidden(EXACT, x, m).log_prob for x, m in zip(X, MASK, strict=True)
    ]
    bounds = np.asarray(bound(toy.keys(1, 4000)), np.float64)
    toy.same_mean(np.exp(bounds - exact), 1.0)
    gap = np.asarray(exact) - bounds.mean(axis=0)
    assert (gap > 0).all()  # below log p, by the theorem


def test_a_full_mask_is_the_objective_itself():
    params = EXACT.params(0.5)
    for objective in (elbo(), iwae(num_particles=3)):
        loss, metrics = masked(objective).loss(
            toy.keys(0, 8), BLIND, params, (X, jnp.ones((8, 4)))
        )
        expected, own = objective.loss(toy.keys(0, 8), MODEL, params, X)
        np.testing.assert_array_equal(loss, expected)
        np.testing.assert_array_equal(metrics["rate"], own["rate"])


def test_hidden_values_reach_neither_the_loss_nor_a_gradient():
    model = toy.small_vae(dim=4)
    params = model.init(jax.random.key(0), (X, MASK))

    @jax.jit
    def everything(x):
        def mean(params):
            objective = masked(iwae(num_particles=3))
            return objective.loss(toy.keys(0, 8), model, params, (x, MASK))[0].mean()

        return jax.value_and_grad(mean)(params)

    expected = everything(jnp.where(MASK, X, 0.3))
    for hidden in (np.nan, -np.inf, 1e30):
        got = everything(jnp.where(MASK, X, hidden))
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
            assert np.isfinite(a).all()
            np.testing.assert_array_equal(a, b)


def test_what_the_objective_learns_begins_with_the_model_of_what_was_observed():
    def init(key, model, params, x):
        return {"observed": model.decode(params, jnp.zeros((8, 2))).log_prob(x)}

    learns = masked(Objective(elbo().loss, init), fill=0.5)
    batch = jnp.where(MASK, X, jnp.nan), MASK
    got = learns.init(jax.random.key(0), BLIND, EXACT.params(), batch)
    assert np.isfinite(got["observed"]).all()
