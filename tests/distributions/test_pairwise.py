import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import toy
from vaejax.distributions import Bernoulli, FullNormal, Normal, pairwise_log_prob
from vaejax.distributions.pairwise import of_normals

RNG = np.random.default_rng(0)
LOC = RNG.normal(size=(6, 3))
SCALE = RNG.uniform(0.2, 2.0, size=(6, 3))
X = RNG.normal(size=(2, 5, 3))


def wide(*arrays):
    return tuple(jnp.asarray(array, jnp.float64) for array in arrays)


def broadcast(x, loc, scale):
    return Normal(loc, scale).log_prob(x[..., None, :])


def test_of_normals_it_is_scipys_for_every_pair():
    got = pairwise_log_prob(Normal(jnp.array(LOC), jnp.array(SCALE)), jnp.array(X))
    expected = toy.log_normal(X[:, :, None], LOC, SCALE)
    assert got.shape == (2, 5, 6)
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    one = pairwise_log_prob(
        Normal(jnp.array(LOC), jnp.float32(0.7)), jnp.array(X[0, 0])
    )
    np.testing.assert_allclose(one, toy.log_normal(X[0, 0], LOC, 0.7), rtol=1e-5)


def test_its_derivatives_are_those_of_the_broadcast_density():
    def fast(x, loc, scale):
        return pairwise_log_prob(Normal(loc, scale), x)

    def broadcast(x, loc, scale):
        return Normal(loc, scale).log_prob(x[..., None, :])

    @jax.jit
    def both_modes(weights, primals, tangents):
        def one(function):
            value, forward = jax.jvp(function, primals, tangents)
            return value, forward, jax.vjp(function, *primals)[1](weights)

        return one(fast), one(broadcast)

    with jax.enable_x64(True):
        weights = jnp.asarray(RNG.normal(size=(2, 5, 6)))
        tangents = wide(X + 1, LOC - 2, SCALE**2)
        got, expected = both_modes(weights, wide(X, LOC, SCALE), tangents)
        pairs = zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True)
        for own, other in pairs:
            np.testing.assert_allclose(own, other, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("ratio", [1e1, 1e2, 1e3])
def test_float32_is_as_exact_as_it_says_whatever_the_smallest_scale(ratio):
    """The ratio is that of the spread of the locs to the scale; x is near a loc."""
    loc = RNG.uniform(-1, 1, size=(60, 10)).astype(np.float32)
    scale = np.full((60, 10), 1 / ratio, np.float32)
    index, noise = RNG.integers(60, size=100), RNG.normal(size=(100, 10))
    x = (loc[index] + scale[index] * noise).astype(np.float32)

    def everything(x, loc, scale):
        def one(x, loc, scale):
            return jax.nn.logsumexp(of_normals(x, loc, scale))

        values = jax.vmap(one, (0, None, None))(x, loc, scale)
        grads = jax.vmap(jax.grad(one, (0, 1, 2)), (0, None, None))(x, loc, scale)
        own = (grads[1], grads[2])  # of each x
        return values, grads[0], *(leaf.sum(axis=1) for leaf in own)

    got = jax.device_get(jax.jit(everything)(x, loc, scale))
    with jax.enable_x64(True):
        exact = jax.device_get(jax.jit(everything)(*wide(x, loc, scale)))
    value, *slopes = (
        np.abs(a.astype(np.float64) - b).max() for a, b in zip(got, exact, strict=True)
    )
    by_x, by_loc, by_scale = np.array(slopes) / ratio  # in units of 1 / scale
    print(f"{value:.1e} nats; {by_x:.1e} {by_loc:.1e} {by_scale:.1e} of 1 / scale")
    assert value < 1e-4
    assert max(by_x, by_loc) < 2e-6 + 4e-7 * ratio
    assert by_scale < 2e-6 + 4e-7 * ratio**2


def test_any_other_family_broadcasts():
    x = jnp.array(X[..., :2] > 0, float)
    logits = jnp.array(LOC[:, :2])
    got = pairwise_log_prob(Bernoulli(logits), x)
    np.testing.assert_allclose(got[1, 2, 3], Bernoulli(logits[3]).log_prob(x[1, 2]))
    full = FullNormal(jnp.array(LOC), jax.vmap(jnp.diag)(jnp.array(SCALE)))
    expected = toy.log_normal(X[:, :, None], LOC, SCALE)
    np.testing.assert_allclose(
        pairwise_log_prob(full, jnp.array(X)), expected, rtol=1e-5
    )
    scalars = Normal(jnp.array(LOC), jnp.array(SCALE), event_ndims=0)  # [6], K = 3
    got = pairwise_log_prob(scalars, jnp.array(X[0, 0, 0]) * jnp.ones(6))
    assert got.shape == (6, 3)
    one = toy.log_normal(X[0, 0, 0], LOC[4, 2:], SCALE[4, 2:])
    np.testing.assert_allclose(got[4, 2], one, rtol=1e-5)
