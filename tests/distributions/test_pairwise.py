import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import toy
from vaejax.distributions import Bernoulli, FullNormal, Normal, pairwise_log_prob

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
    one = pairwise_log_prob(Normal(jnp.array(LOC), jnp.float32(0.7)), jnp.array(X[0, 0]))
    np.testing.assert_allclose(one, toy.log_normal(X[0, 0], LOC, 0.7), rtol=1e-5)


def test_its_derivatives_are_those_of_the_broadcast_density():
    with jax.enable_x64(True):
        weights = jnp.asarray(RNG.normal(size=(2, 5, 6)))

        def total(function, x, loc, scale):
            return (weights * function(x, loc, scale)).sum()

        def fast(x, loc, scale):
            return pairwise_log_prob(Normal(loc, scale), x)

        grads = jax.grad(total, argnums=(1, 2, 3))
        primals, tangents = wide(X, LOC, SCALE), wide(X + 1, LOC - 2, SCALE**2)
        pairs = zip(grads(fast, *primals), grads(broadcast, *primals), strict=True)
        for got, expected in pairs:
            np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-11)
        got, expected = (jax.jvp(f, primals, tangents) for f in (fast, broadcast))
        np.testing.assert_allclose(got[0], expected[0], rtol=1e-12)
        np.testing.assert_allclose(got[1], expected[1], rtol=1e-9)


# The gradients in x, loc and scale, relative to what they would be of size.
@pytest.mark.parametrize("ratio", [1e1, 1e2, 1e3])
def test_float32_is_as_exact_as_it_says_whatever_the_smallest_scale(ratio):
    loc = RNG.uniform(-1, 1, size=(200, 20)).astype(np.float32)
    scale = np.full((200, 20), 1 / ratio, np.float32)
    index = RNG.integers(200, size=300)
    noise = RNG.normal(size=(300, 20))
    x = (loc[index] + scale[index] * noise).astype(np.float32)

    def mixture(x, loc, scale):
        terms = pairwise_log_prob(Normal(loc, scale), x)
        return jax.nn.logsumexp(terms, axis=-1)

    def everything(x, loc, scale):
        grads = jax.grad(lambda *a: mixture(*a).sum(), argnums=(0, 1, 2))
        return mixture(x, loc, scale), *grads(x, loc, scale)

    got = jax.jit(everything)(x, loc, scale)
    with jax.enable_x64(True):
        exact = jax.jit(everything)(*wide(x, loc, scale))
    size = np.sqrt(np.mean(np.square(exact[1])))  # of a gradient: 1 / scale
    value, by_x, by_loc, by_scale = (
        np.abs(np.asarray(a, np.float64) - b).max() for a, b in zip(got, exact, strict=True)
    )
    print(f"{value:.1e} nats; {by_x / size:.1e} {by_loc / size:.1e} {by_scale / size:.1e}")
    assert value < 2e-4
    assert max(by_x, by_loc) / size < 1e-7 * ratio + 2e-6
    assert by_scale / size < 1e-7 * ratio**2 + 2e-6


def test_any_other_family_broadcasts():
    x = jnp.array(X[..., :2] > 0, float)
    logits = jnp.array(LOC[:, :2])
    got = pairwise_log_prob(Bernoulli(logits), x)
    np.testing.assert_allclose(got[1, 2, 3], Bernoulli(logits[3]).log_prob(x[1, 2]))
    full = FullNormal(jnp.array(LOC), jax.vmap(jnp.diag)(jnp.array(SCALE)))
    expected = toy.log_normal(X[:, :, None], LOC, SCALE)
    np.testing.assert_allclose(pairwise_log_prob(full, jnp.array(X)), expected, rtol=1e-5)
    scalars = Normal(jnp.array(LOC), jnp.array(SCALE), event_ndims=0)  # [6], K = 3
    got = pairwise_log_prob(scalars, jnp.array(X[0, 0, 0]) * jnp.ones(6))
    assert got.shape == (6, 3)
    one = toy.log_normal(X[0, 0, 0], LOC[4, 2:], SCALE[4, 2:])
    np.testing.assert_allclose(got[4, 2], one, rtol=1e-5)
