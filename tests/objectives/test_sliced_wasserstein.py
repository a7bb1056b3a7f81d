import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from tests import toy, toy_codes
from vaejax.base import split
from vaejax.objectives import reconstruction, sliced_wasserstein
from vaejax.objectives.sliced_wasserstein import sliced_distance

DIM, MODEL = 3, toy_codes.given(3)
X = toy_codes.posteriors(16, DIM)
RNG = np.random.default_rng(0)
A, B = (RNG.normal(size=(9, DIM)).astype(np.float32) for _ in range(2))
DIRECTIONS = RNG.normal(size=(4, DIM)).astype(np.float32)


def run(objective, seed=0):
    keys = toy.keys(seed, len(X))
    return jax.jit(lambda x: objective.loss(keys, MODEL, {}, x))(X)


def test_of_order_1_it_is_scipys_wasserstein_distance_along_each_direction():
    expected = [
        scipy.stats.wasserstein_distance(A @ theta, B @ theta) for theta in DIRECTIONS
    ]
    distance = sliced_distance(DIRECTIONS, A, B, 1)
    np.testing.assert_allclose(distance, np.mean(expected), rtol=1e-5)


def test_of_order_2_no_matching_of_the_projections_costs_less():
    def cost(order):
        return ((A - B[order]) @ DIRECTIONS[0]) ** 2

    best = sliced_distance(DIRECTIONS[:1], A, B, 2)
    a, b = (np.argsort(side @ DIRECTIONS[0]) for side in (A, B))
    matched = np.empty(9, int)
    matched[a] = b
    np.testing.assert_allclose(best, cost(matched).mean(), rtol=1e-5)
    others = [cost(RNG.permutation(9)).mean() for _ in range(1000)]
    assert best < min(others)


def test_a_set_is_at_distance_0_from_itself_and_at_its_shift_from_a_moved_one():
    assert sliced_distance(DIRECTIONS, A, A[::-1], 2) == 0
    shift = np.array([0.3, -2.0, 0.7], np.float32)
    expected = ((DIRECTIONS @ shift) ** 2).mean()
    distance = sliced_distance(DIRECTIONS, A, A + shift, 2)
    np.testing.assert_allclose(distance, expected, rtol=1e-5)


def test_it_is_the_distortion_and_the_distance_of_codes_and_draws():
    """Of a shift by v, the mean over directions is |v|^2 / D: they are unit vectors."""
    objective = sliced_wasserstein(weight=3.0, num_projections=20_000)
    loss, metrics = run(objective)
    z_key, prior_key, _ = split(toy.keys(0, 16), 3)
    z = np.asarray(MODEL.encode({}, jnp.asarray(X)).sample(z_key))
    draws = np.asarray(MODEL.prior({}).sample(prior_key))
    normals = np.random.default_rng(1).normal(size=(20_000, DIM))
    unit = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    each = (np.sort(unit @ z.T) - np.sort(unit @ draws.T)) ** 2  # [L, B]
    error = 5 * np.sqrt(2) * each.mean(axis=1).std() / np.sqrt(20_000)
    assert abs(metrics["sliced_wasserstein"][0] - each.mean()) < error < 0.1
    expected = metrics["distortion"] + 3 * metrics["sliced_wasserstein"]
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


def test_without_weight_it_is_the_reconstruction():
    @jax.jit
    def losses(x):
        z_key, *_ = split(toy.keys(0, 16), 3)
        objective = sliced_wasserstein(weight=0.0)
        return [
            objective.loss(toy.keys(0, 16), MODEL, {}, x)[0],
            reconstruction().loss(z_key, MODEL, {}, x)[0],
        ]

    np.testing.assert_allclose(*losses(X), rtol=1e-6)


@pytest.mark.parametrize("name", ["num_projections", "order"])
def test_wrong_arguments_are_errors(name):
    with pytest.raises(ValueError, match=r"at least 1, got.*0"):
        sliced_wasserstein(**{name: 0})
    with pytest.raises(ValueError, match=r"weight.*got -1"):
        sliced_wasserstein(weight=-1)
