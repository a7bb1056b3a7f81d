import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import toy
from vaejax import flows, priors


def test_at_first_it_is_close_to_the_standard_normal():
    family = priors.flow(3, flow=flows.masked_autoregressive, num_flows=3)
    z = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)

    @jax.jit
    def density(key):
        return family.make(family.init(key, None), None).log_prob(z)

    expected = toy.log_normal(z, 0.0, 1.0)
    np.testing.assert_allclose(density(jax.random.key(0)), expected, atol=0.2)


@pytest.mark.slow
def test_it_learns_a_distribution_that_no_normal_is():
    """Two halves of a bent line: z_2 = z_1^2 / 2 + noise."""
    import optax

    family = priors.flow(2, flow=flows.affine_coupling, num_flows=3)
    rng = np.random.default_rng(0)
    first = rng.normal(size=2000)
    data = np.stack([first, first**2 / 2 + 0.3 * rng.normal(size=2000)], axis=-1)
    data = jnp.asarray(data, float)
    optimizer = optax.adam(0.02)

    def loss(params):
        return -family.make(params, None).log_prob(data).mean()

    @jax.jit
    def fit(key):
        params = family.init(key, None)

        def step(carry, _):
            params, state = carry
            updates, state = optimizer.update(jax.grad(loss)(params), state)
            return (optax.apply_updates(params, updates), state), None

        carry = (params, optimizer.init(params))
        (params, _), _ = jax.lax.scan(step, carry, length=150)
        return loss(params)

    # Entropies: of z itself, and of the best normal, which the mean loss cannot pass.
    own = 0.5 * np.log(2 * np.pi * np.e) * 2 + np.log(0.3)
    normal = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * np.cov(data.T))[1]
    got = fit(jax.random.key(1))
    print(f"{own:.3f} of the data, {got:.3f} of the flow, {normal:.3f} of a normal")
    assert own - 0.1 < got < own + 0.1 < normal - 0.5


def test_a_flow_that_runs_forward_only_is_refused_with_what_to_use():
    for flow in (flows.planar, flows.radial, functools.partial(flows.sylvester)):
        with pytest.raises(ValueError, match=r"forward only.*affine_coupling"):
            priors.flow(2, flow=flow)


@pytest.mark.parametrize("counts", [(0, 4), (2, 0)])
def test_counts_below_1_are_errors(counts):
    with pytest.raises(ValueError, match=f"got {counts[0]} and {counts[1]}"):
        priors.flow(counts[0], num_flows=counts[1])
