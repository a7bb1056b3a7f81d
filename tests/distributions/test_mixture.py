import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from tests import toy
from vaejax.distributions import FullNormal, LowRankNormal, Mixture, Normal

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=4).astype(np.float32)
LOC = 2 * RNG.normal(size=(4, 2)).astype(np.float32)
SCALE = RNG.uniform(0.3, 1.0, size=(4, 2)).astype(np.float32)
P = Mixture(jnp.array(LOGITS), Normal(jnp.array(LOC), jnp.array(SCALE)))
FULL = P.replace(components=FullNormal(P.components.loc, jax.vmap(jnp.diag)(SCALE)))
LOW = P.replace(
    components=LowRankNormal(P.components.loc, P.components.scale, jnp.ones((4, 2, 1)))
)
WEIGHTS = scipy.special.softmax(LOGITS.astype(np.float64))
Z = RNG.normal(size=(3, 5, 2)).astype(np.float32)


def joint(z):
    """log p(k) + log p(z | k) by scipy, `[..., 4]`."""
    return np.log(WEIGHTS) + toy.log_normal(z[..., None, :], LOC, SCALE)


@pytest.mark.parametrize("p", [P, FULL], ids=["diagonal", "full"])
def test_log_prob_is_the_log_of_the_weighted_sum(p):
    expected = scipy.special.logsumexp(joint(Z), axis=-1)
    assert toy.log_prob(p, Z).shape == (3, 5)
    np.testing.assert_allclose(toy.log_prob(p, Z), expected, rtol=1e-5)


def test_responsibilities_are_bayes_rule():
    expected = scipy.special.softmax(joint(Z), axis=-1)
    np.testing.assert_allclose(P.responsibilities(Z), expected, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(P.responsibilities(Z).sum(axis=-1), 1, rtol=1e-6)


def test_equal_components_are_the_component():
    same = Normal(jnp.tile(LOC[:1], (4, 1)), jnp.tile(SCALE[:1], (4, 1)))
    one = Normal(jnp.array(LOC[0]), jnp.array(SCALE[0]))
    got = P.replace(components=same)
    np.testing.assert_allclose(toy.log_prob(got, Z), toy.log_prob(one, Z), rtol=1e-5)
    np.testing.assert_allclose(got.mean(), one.mean(), rtol=1e-6)
    grads = [jax.jit(jax.grad(p.log_prob))(jnp.array(Z[0, 0])) for p in (got, one)]
    np.testing.assert_allclose(*grads, rtol=1e-5)


@pytest.mark.parametrize("p", [P, LOW], ids=["diagonal", "low rank"])
def test_the_density_integrates_to_1(p):
    line = jnp.linspace(-12, 12, 401)
    grid = jnp.stack(jnp.meshgrid(line, line), axis=-1)
    mass = np.exp(toy.log_prob(p, grid), dtype=np.float64) * (line[1] - line[0]) ** 2
    np.testing.assert_allclose(mass.sum(), 1, rtol=2e-5)


@pytest.mark.parametrize("p", [P, FULL, LOW], ids=["diagonal", "full", "low rank"])
def test_draws_have_the_moments_of_the_mixture(p):
    z = np.asarray(toy.sample(p, jax.random.key(0), (4000,)), np.float64)
    toy.same_mean(z, p.mean())
    np.testing.assert_allclose(p.mean(), WEIGHTS @ LOC, rtol=1e-5)
    own = SCALE.astype(float) ** 2 + (1 if p is LOW else 0)
    toy.same_mean(z**2, WEIGHTS @ (own + LOC.astype(float) ** 2))
    nearest = np.eye(4)[np.argmax(P.responsibilities(z), axis=-1)]
    if p is P:  # how often a component is the likeliest, by its own draws
        each = P.components.sample(jax.random.key(1), (4000,))  # [4000, 4, 2]
        own = np.eye(4)[np.argmax(P.responsibilities(each), axis=-1)]
        toy.same_mean(nearest - (WEIGHTS[:, None] * own).sum(axis=1))


@pytest.mark.parametrize("p", [P, FULL, LOW], ids=["diagonal", "full", "low rank"])
def test_the_draws_of_an_example_depend_on_its_own_key_alone(p):
    drawn = toy.sample(p, toy.keys(0, 5), (2,))
    assert drawn.shape == (2, 5, 2)
    alone = toy.sample(p, toy.keys(0, 5)[3], (2,))
    np.testing.assert_allclose(drawn[:, 3], alone, rtol=1e-6)
    assert len(np.unique(drawn[..., 0])) == 10
    assert toy.sample(p, jax.random.key(0), (2, 3)).shape == (2, 3, 2)


def test_a_batch_of_mixtures_is_each_of_them():
    rows = jnp.array([0.0, 5.0, -3.0])
    components = Normal(rows[:, None, None] + LOC, jnp.tile(SCALE, (3, 1, 1)))
    batch = Mixture(jnp.tile(LOGITS, (3, 1)), components)  # batch shape [3]
    np.testing.assert_allclose(
        toy.log_prob(batch, Z[:, :3] + rows[:, None]),
        toy.log_prob(P, Z[:, :3]),
        rtol=1e-4,
    )
    z = toy.sample(batch, toy.keys(1, 3), (4000,))
    assert z.shape == (4000, 3, 2)
    toy.same_mean(z - rows[:, None], WEIGHTS @ LOC)
    np.testing.assert_allclose(batch.mean(), rows[:, None] + P.mean(), rtol=1e-5)
    scalars = Mixture(P.logits, Normal(P.components.loc[:, 0], jnp.ones(4), 0))
    assert toy.log_prob(scalars, jnp.zeros(7)).shape == (7,)
    assert toy.sample(scalars, jax.random.key(0), (3,)).shape == (3,)


def test_values_and_gradients_are_finite_far_from_small_components():
    def value(loc, scale, z):
        return toy.log_prob(Mixture(P.logits, Normal(loc, scale)), z).sum()

    scale = jnp.full((4, 2), 1e-3)
    gradient = jax.jit(jax.value_and_grad(value, argnums=(0, 1, 2)))
    for far in (1.0, 1e3, 1e5):
        out, grads = gradient(P.components.loc, scale, far * jnp.ones((3, 2)))
        assert all(np.isfinite(leaf).all() for leaf in (out, *grads))


def test_arrays_that_are_no_rows_cannot_be_drawn_from():
    with pytest.raises(ValueError, match=r"begin with \(4,\).*got \(2,\)"):
        Mixture(P.logits, Normal(P.components.loc, P.components.scale[0])).sample(
            jax.random.key(0)
        )


def test_temperature_scales_the_deviations_from_the_components_mean():
    cold = P.tempered(0.1).sample(jax.random.key(0), (500,))
    gap = np.abs(np.asarray(cold)[:, None] - LOC) / SCALE
    assert gap.max(axis=-1).min(axis=-1).max() < 0.5
