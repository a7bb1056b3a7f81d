import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from tests import toy
from vaejax import priors


def made(dim, num_components=3, shift=0.5):
    """A prior away from where it starts."""
    family = priors.autoregressive(dim, hidden=(8,), num_components=num_components)
    params = jax.jit(family.init, static_argnums=1)(jax.random.key(0), None)
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    moved = [
        leaf + shift * jax.random.normal(key, leaf.shape)
        for leaf, key in zip(leaves, keys, strict=True)
    ]
    return family.make(jax.tree.unflatten(tree, moved), None)


P = made(2)


def grid():
    line = jnp.linspace(-20, 20, 601)
    z = jnp.stack(jnp.meshgrid(line, line, indexing="ij"), axis=-1)
    return z, np.exp(toy.log_prob(P, z), dtype=np.float64) * (line[1] - line[0]) ** 2


def test_its_density_integrates_to_1_and_draws_agree_with_it():
    z, mass = grid()
    np.testing.assert_allclose(mass.sum(), 1, rtol=1e-4)
    drawn = toy.sample(P, jax.random.key(0), (4000,))
    for moment in (lambda z: z, lambda z: z**2, lambda z: z[..., :1] * z[..., 1:]):
        exact = (np.asarray(moment(z), np.float64) * mass[..., None]).sum(axis=(0, 1))
        toy.same_mean(moment(drawn), exact / mass.sum())


@pytest.mark.parametrize("num_components", [1, 3])
def test_each_latent_drawn_is_uniform_in_its_own_cumulative_distribution(
    num_components,
):
    p = made(2, num_components, shift=1.0)
    z = toy.sample(p, jax.random.key(3), (20_000,))
    q = jax.jit(p.conditionals)(p.params.tree, z)
    loc, scale = np.asarray(q.components.loc), np.asarray(q.components.scale)
    below = scipy.stats.norm(loc, scale).cdf(np.asarray(z)[..., None])
    u = (scipy.special.softmax(q.logits, axis=-1) * below).sum(axis=-1)  # [20_000, 2]
    toy.same_mean(u, 1 / 2)
    toy.same_mean(u**2, 1 / 3)
    toy.same_mean(u[:, 0] * u[:, 1], 1 / 4)


def test_each_conditional_is_told_by_the_latents_before_it_alone():
    p = made(4)
    z = jax.random.normal(jax.random.key(2), (4,))

    def logits(z):
        return p.conditionals(p.params.tree, z).logits  # [4, K]

    moves = np.abs(jax.jacobian(logits)(z)).max(axis=1) > 0  # [4, 4]
    np.testing.assert_array_equal(moves, np.tril(np.ones((4, 4)), -1) > 0)


def test_with_one_latent_it_is_a_mixture():
    p = made(1)
    mixture = p.conditionals(p.params.tree, jnp.zeros(1))  # batch shape [1]
    z = jnp.linspace(-2, 2, 5)[:, None]
    np.testing.assert_allclose(
        toy.log_prob(p, z), toy.log_prob(mixture, z)[:, 0], rtol=1e-6
    )
    toy.same_mean(toy.sample(p, jax.random.key(0), (4000,)), mixture.mean())


def test_the_components_of_every_conditional_start_apart():
    start = made(2, shift=0.0)
    loc = start.conditionals(start.params.tree, jnp.zeros(2)).components.loc
    assert np.abs(np.diff(loc, axis=-1)).min() > 0.5


def test_the_draws_of_an_example_depend_on_its_own_key_alone():
    drawn = toy.sample(P, toy.keys(0, 5), (2,))
    assert drawn.shape == (2, 5, 2)
    alone = toy.sample(P, toy.keys(0, 5)[3], (2,))
    np.testing.assert_allclose(drawn[:, 3], alone, rtol=1e-5)
    assert len(np.unique(drawn[..., 1])) == 10


@pytest.mark.parametrize("hidden", [(0,), (4, -1)])
def test_a_width_below_1_is_an_error(hidden):
    with pytest.raises(ValueError, match="at least 1"):
        priors.autoregressive(2, hidden=hidden)
