import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import vaejax
from tests import toy, toy_conditional
from vaejax import likelihoods, networks, posteriors, priors, watched
from vaejax.base import Objective
from vaejax.objectives import conditional, elbo, iwae, m2, masked, predict

EXACT = toy_conditional.conditional_gaussian()
MODEL = EXACT.model()
X, LABEL = EXACT.draw(12)
UNKNOWN = jnp.full(12, -1)
CLASSIFIER = networks.headed(toy.identity(), 3)


def test_its_classifier_can_be_the_true_posterior_of_the_label():
    log_q = predict(CLASSIFIER, EXACT.params(), X)
    joint = EXACT.joint(X)
    expected = joint - EXACT.marginal(X)[:, None]
    np.testing.assert_allclose(log_q, expected, rtol=1e-4, atol=1e-4)


def test_without_labels_the_bound_on_log_p_of_x_is_tight_at_the_true_posteriors():
    objective = m2(iwae(num_particles=2), CLASSIFIER)
    loss, _ = objective.loss(toy.keys(0, 12), MODEL, EXACT.params(), (X, UNKNOWN))
    np.testing.assert_allclose(-loss, EXACT.marginal(X), atol=1e-4)


def test_with_labels_the_bound_on_log_p_of_x_and_y_is_tight():
    objective = m2(iwae(num_particles=2), CLASSIFIER, alpha=0.0)
    loss, _ = objective.loss(toy.keys(0, 12), MODEL, EXACT.params(), (X, LABEL))
    expected = EXACT.joint(X)[np.arange(12), LABEL]
    np.testing.assert_allclose(-loss, expected, atol=1e-4)


def off(params, seed=0):
    """Parameters whose classifier is not the true posterior either."""
    noise = np.random.default_rng(seed).normal(size=(4, 3))
    params["objective"]["classifier"]["head"]["kernel"] += jnp.asarray(noise, float)
    return params


def test_it_is_the_sum_over_labels_written_by_hand():
    params, alpha = off(EXACT.params(0.5, 1.3)), 0.7
    y = jnp.where(jnp.arange(12) < 7, -1, LABEL)
    inner = watched(elbo(beta=0.5))
    objective = m2(inner, CLASSIFIER, alpha=alpha)
    loss, metrics = objective.loss(toy.keys(0, 12), MODEL, params, (X, y))
    per_label = [
        inner.loss(toy.keys(0, 12), MODEL.given(label), params, X)
        for label in jnp.arange(3)
    ]
    joint = np.stack([own for own, _ in per_label], axis=1) + np.log(3)
    names = "rate", "rate_per_dimension"  # a number for each example, and a vector
    of_label = {n: np.stack([own[n] for _, own in per_label], axis=1) for n in names}
    log_q = np.asarray(predict(CLASSIFIER, params, X), np.float64)
    for i in range(12):
        if y[i] < 0:
            q = np.exp(log_q[i])
            expected = sum(q[c] * (joint[i, c] + log_q[i, c]) for c in range(3))
        else:
            q = np.eye(3)[y[i]]
            expected = joint[i, y[i]] - alpha * log_q[i, y[i]]
        np.testing.assert_allclose(loss[i], expected, rtol=1e-5)
        for name, value in of_label.items():
            mean = sum(q[c] * value[i, c] for c in range(3))
            np.testing.assert_allclose(metrics[name][i], mean, rtol=1e-5)


def test_all_labels_known_it_is_the_conditional_bound_and_a_cross_entropy():
    params = off(EXACT.params(0.5, 1.3))
    loss, metrics = m2(elbo(), CLASSIFIER, alpha=2.0).loss(
        toy.keys(0, 12), MODEL, params, (X, LABEL)
    )
    bound, own = conditional(elbo()).loss(toy.keys(0, 12), MODEL, params, (X, LABEL))
    entropy = -predict(CLASSIFIER, params, X)[jnp.arange(12), LABEL]
    np.testing.assert_allclose(loss, bound + np.log(3) + 2 * entropy, rtol=1e-5)
    for name in own:
        np.testing.assert_allclose(metrics[name], own[name], rtol=1e-5)


def test_a_classifier_that_is_sure_makes_an_unlabelled_example_a_labelled_one():
    params = EXACT.params(0.5, 1.3)
    head = {"kernel": jnp.zeros((4, 3)), "bias": 1e5 * jnp.eye(3)[1]}
    params["objective"]["classifier"]["head"] = head
    objective = m2(elbo(), CLASSIFIER)

    @jax.jit
    def mean(params):
        loss, _ = objective.loss(toy.keys(0, 12), MODEL, params, (X, UNKNOWN))
        return loss.mean(), loss

    grads, unlabelled = jax.grad(mean, has_aux=True)(params)
    labelled, _ = objective.loss(toy.keys(0, 12), MODEL, params, (X, UNKNOWN + 2))
    np.testing.assert_allclose(unlabelled, labelled, rtol=1e-6)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))


def test_only_alpha_and_unlabelled_examples_teach_the_classifier():
    def gradient(alpha, y):
        def mean(params):
            objective = m2(elbo(), CLASSIFIER, alpha=alpha)
            return objective.loss(toy.keys(0, 12), MODEL, params, (X, y))[0].mean()

        grads = jax.grad(mean)(off(EXACT.params(0.5)))["objective"]["classifier"]
        return np.abs(grads["head"]["kernel"]).max()

    assert gradient(0.0, LABEL) == 0
    assert gradient(1.0, LABEL) > 1e-3
    assert gradient(0.0, UNKNOWN) > 1e-3


def test_alpha_may_be_traced_and_a_negative_one_is_an_error():
    @jax.jit
    def loss(alpha):
        objective = m2(elbo(), CLASSIFIER, alpha=alpha)
        return objective.loss(toy.keys(0, 12), MODEL, EXACT.params(), (X, LABEL))[0]

    assert np.isfinite(loss(0.5)).all()
    with pytest.raises(ValueError, match=r"alpha.*got -1"):
        m2(elbo(), CLASSIFIER, alpha=-1)


def test_what_the_objective_under_it_learns_is_its_own():
    def init(key, model, params, x):
        return {"weight": jnp.full((), 2.0)}

    def loss(key, model, params, x):
        value, metrics = elbo().loss(key, model, params, x)
        return value * params["objective"]["weight"], metrics

    objective = m2(Objective(loss, init), CLASSIFIER)
    params = EXACT.params(0.5)
    batch = (X, UNKNOWN)
    learned = objective.init(jax.random.key(0), MODEL, params, batch)
    assert jax.tree.map(jnp.shape, learned["classifier"]["head"]) == {
        "kernel": (4, 3),
        "bias": (3,),
    }
    params["objective"] |= {"objective": learned["objective"]}
    got, _ = objective.loss(toy.keys(0, 12), MODEL, params, batch)
    alone = m2(elbo(), CLASSIFIER).loss(
        toy.keys(0, 12), MODEL, EXACT.params(0.5), batch
    )[0]
    assert (got > alone).all()  # every bound here is above 0


@pytest.mark.parametrize("label", [-2, 3])
def test_a_label_that_is_no_class_gives_nan(label):
    for objective in (m2(elbo(), CLASSIFIER), conditional(elbo())):
        loss, _ = objective.loss(
            toy.keys(0, 12), MODEL, EXACT.params(), (X, LABEL.at[4].set(label))
        )
        np.testing.assert_array_equal(np.isnan(loss), np.arange(12) == 4)


def test_a_likelihood_that_fits_the_batch_is_refused():
    network = networks.mlp(hidden=(3,))
    model = vaejax.conditional_latent_variable_model(
        posteriors.diagonal_normal(network, 2),
        priors.standard_normal(2),
        likelihoods.normal(network, (4,), scale="optimal"),
        num_classes=3,
    )
    objective = m2(elbo(), CLASSIFIER)
    params = model.init(jax.random.key(0), (X, LABEL))
    params |= {"objective": EXACT.params()["objective"]}
    with pytest.raises(TypeError, match="m2 judges examples one by one, and Optimal"):
        objective.loss(toy.keys(0, 12), model, params, (X, LABEL))


def test_of_incomplete_examples_the_classifier_sees_what_was_observed():
    network = networks.mlp(hidden=(3,))
    classifier = networks.headed(network, 3)
    model = vaejax.conditional_latent_variable_model(
        posteriors.diagonal_normal(network, 2),
        priors.standard_normal(2),
        likelihoods.normal(network, (4,)),
        num_classes=3,
    )
    objective = m2(masked(elbo()), classifier)
    mask = jnp.arange(X.size).reshape(X.shape) % 4 > 0

    def batch(hidden):
        y = jnp.where(jnp.arange(12) < 6, LABEL, -1)
        return (jnp.where(mask, X, hidden), mask), y

    state = vaejax.init_state(
        jax.random.key(0), model, objective, optax.sgd(0.1), batch(jnp.nan)
    )
    losses = [
        objective.loss(toy.keys(0, 12), model, state.params, batch(hidden))[0]
        for hidden in (0.0, 1000.0, jnp.nan)
    ]
    assert np.isfinite(losses[0]).all()
    np.testing.assert_array_equal(losses[0], losses[1])
    np.testing.assert_array_equal(losses[0], losses[2])
