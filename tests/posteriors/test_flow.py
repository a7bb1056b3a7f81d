import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests import toy
from vaejax import flows, posteriors
from vaejax.distributions import Normal

X = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
FACTORIES = {
    "planar": posteriors.planar,
    "radial": posteriors.radial,
    "sylvester": functools.partial(posteriors.sylvester, num_ortho=2),
    "iaf": functools.partial(posteriors.iaf, hidden=(4,)),
    "affine": functools.partial(posteriors.flow, flow=flows.affine_coupling),
    "spline": functools.partial(posteriors.flow, flow=flows.spline_coupling),
}


def family_of(name, **hyperparameters):
    return FACTORIES[name](toy.identity(), 2, num_flows=3, **hyperparameters)


@pytest.mark.parametrize("name", [name for name in FACTORIES if name != "iaf"])
def test_flows_at_zeros_leave_the_diagonal_normal(name):
    family = family_of(name, context_dim=4)
    plain = posteriors.diagonal_normal(toy.identity(), 2)

    @jax.jit
    def both(key, keys):
        params = family.init(key, X)
        flow = jax.tree.map(jnp.zeros_like, params["flow"])
        q = family.make(params | {"flow": flow}, X)
        head = jax.tree.map(lambda leaf: leaf[..., :4], params["encoder"]["head"])
        expected = plain.make({"network": {}, "head": head}, X)
        z, log_q = q.sample_and_log_prob(keys, (2,))
        same = expected.sample(jax.random.clone(keys), (2,))
        return (z, log_q), (same, expected.log_prob(same))

    (z, log_q), (same, log_same) = both(jax.random.key(0), toy.keys(1, 5))
    np.testing.assert_allclose(z, same, atol=1e-5)
    np.testing.assert_allclose(log_q, log_same, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", FACTORIES)
def test_without_a_context_the_flows_are_the_same_for_every_example(name):
    def made(context_dim):
        family = family_of(name, context_dim=context_dim)
        params = jax.eval_shape(family.init, jax.random.key(0), X)
        return params, jax.eval_shape(family.make, params, X)

    params, q = made(0)
    own, q_of_x = made(4)
    assert q.context is None
    assert q_of_x.context.shape == (5, 4)
    assert params["encoder"]["head"]["bias"].shape == (4,)
    assert own["encoder"]["head"]["bias"].shape == (8,)
    extra = len(jax.tree.leaves(own["flow"])) - len(jax.tree.leaves(params["flow"]))
    assert extra > 0  # what reads the context


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (lambda: posteriors.planar(toy.identity(), 0), "latent_dim.*got 0"),
        (lambda: posteriors.radial(toy.identity(), 2, num_flows=0), "got 0 and 64"),
        (lambda: posteriors.iaf(toy.identity(), 2, context_dim=-1), "got 4 and -1"),
        (lambda: posteriors.iaf(toy.identity(), 2, hidden=(0,)), "at least 1"),
        (lambda: posteriors.sylvester(toy.identity(), 2, num_ortho=0), "num_ortho"),
    ],
)
def test_hyperparameters_out_of_range_are_errors_that_say_so(factory, message):
    with pytest.raises(ValueError, match=message):
        factory()


def test_a_coupling_in_one_dimension_is_an_error_before_any_step():
    family = posteriors.flow(toy.identity(), 1)
    with pytest.raises(ValueError, match=r"at least 2 dimensions, got 1.*linear"):
        family.init(jax.random.key(0), X)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["iaf", "affine", "sylvester"])
def test_it_learns_a_correlated_posterior_that_no_diagonal_normal_is(name):
    """The target is N(x, C) with a correlation of 0.9; only q is trained."""
    factor = jnp.asarray(np.linalg.cholesky([[1.0, 0.9], [0.9, 1.0]]), float)
    family = family_of(name, context_dim=4)
    x = jnp.asarray(np.random.default_rng(1).normal(size=(128, 2)), float)
    prior, optimizer = Normal(jnp.zeros(2), jnp.ones(2)), optax.adam(0.02)

    def loss(params, key):
        z, log_q = family.make(params, x).sample_and_log_prob(key)
        white = jax.scipy.linalg.solve_triangular(factor, (z - x).T, lower=True).T
        log_p = prior.log_prob(white) - jnp.log(jnp.diag(factor)).sum()
        return (log_q - log_p).mean()

    @jax.jit
    def fit(key):
        init_key, key, last_key = jax.random.split(key, 3)
        params = family.init(init_key, x)

        def step(carry, key):
            params, state = carry
            updates, state = optimizer.update(jax.grad(loss)(params, key), state)
            return (optax.apply_updates(params, updates), state), None

        keys = jax.random.split(key, 400)
        (params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), keys)
        return jax.vmap(lambda key: loss(params, key))(jax.random.split(last_key, 50))

    divergence = np.mean(fit(jax.random.key(0)))
    diagonal = -0.5 * np.log(1 - 0.9**2)  # of the best diagonal normal: 0.83 nats
    print(f"{divergence:.3f} nats, {diagonal:.3f} of a diagonal normal")
    assert divergence < 0.1 * diagonal
