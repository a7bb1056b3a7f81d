import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from tests import toy, toy_codes
from vaejax.distributions import Normal, PointMass
from vaejax.objectives import dip, elbo

DIM, MODEL = 3, toy_codes.given(3)
X = toy_codes.posteriors(16, DIM)


def run(objective, model=MODEL, x=X):
    return jax.jit(lambda x: objective.loss(toy.keys(0, len(x)), model, {}, x))(x)


@pytest.mark.parametrize("kind", ["i", "ii"])
def test_it_is_the_elbo_and_the_distance_of_numpys_covariance_to_the_identity(kind):
    loss, metrics = run(dip(kind=kind, lambda_diagonal=3.0, lambda_off_diagonal=0.5))
    bound, terms = run(elbo())
    cov = np.cov(X[:, :DIM].astype(np.float64), rowvar=False, bias=True)
    if kind == "ii":  # and the mean variance of z given x
        cov += np.diag((X[:, DIM:].astype(np.float64) ** 2).mean(axis=0))
    gap = (cov - np.eye(DIM)) ** 2
    penalty = 3.0 * np.trace(gap) + 0.5 * (gap.sum() - np.trace(gap))
    assert penalty > 0.1
    np.testing.assert_allclose(metrics["dip"], np.full(16, penalty), rtol=1e-5)
    np.testing.assert_allclose(loss, bound + penalty, rtol=1e-5)
    for name in terms:
        np.testing.assert_allclose(metrics[name], terms[name], rtol=1e-5)


def test_codes_whose_covariance_is_the_identity_cost_nothing():
    loc = np.sqrt(0.75) * np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    x = np.concatenate([loc, np.full((4, 2), 0.5)], axis=1).astype(np.float32)
    model = toy_codes.given(2)
    np.testing.assert_allclose(run(dip(kind="ii"), model, x)[1]["dip"], 0, atol=1e-10)
    assert run(dip(kind="i"), model, x)[1]["dip"].min() > 1  # it knows of the locs only


def test_the_second_kind_takes_the_covariance_of_the_draws_where_q_is_not_normal():
    @struct.dataclass
    class Other(PointMass):
        """Not normal, and with a density for the rate."""

        def log_prob(self, value):
            return jnp.zeros(value.shape[:-1])

        def kl_to(self, p):
            return jnp.zeros(self.loc.shape[:-1])

    def encode(params, x):
        return Other(x[:, :DIM] ** 3)

    _, metrics = run(dip(kind="ii"), MODEL._replace(encode=encode))
    cov = np.cov(X[:, :DIM].astype(np.float64) ** 3, rowvar=False, bias=True)
    penalty = 10 * ((cov - np.eye(DIM)) ** 2).sum()
    np.testing.assert_allclose(metrics["dip"], np.full(16, penalty), rtol=1e-4)


def test_a_scale_that_all_dimensions_share_counts_for_each():
    def encode(params, x):
        return Normal(x[:, :DIM], jnp.float32(0.5))

    x = np.concatenate([X[:, :DIM], np.full((16, DIM), 0.5)], axis=1).astype(np.float32)
    _, shared = run(dip(), MODEL._replace(encode=encode), x)
    _, own = run(dip(), MODEL, x)
    np.testing.assert_allclose(shared["dip"], own["dip"], rtol=1e-6)


def test_wrong_arguments_are_errors():
    with pytest.raises(ValueError, match=r"'i' or 'ii', got 'iii'"):
        dip(kind="iii")
    for name in ("lambda_diagonal", "lambda_off_diagonal"):
        with pytest.raises(ValueError, match=r"at least 0.*got -1"):
            dip(**{name: -1})
