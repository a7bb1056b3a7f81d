import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import toy
from vaejax import distributions
from vaejax.base import split
from vaejax.distributions import Bernoulli, Normal, PointMass


def mixed(loc):
    return jnp.stack([loc, loc], axis=-1)


FAMILIES = {
    "Normal": lambda loc, n: Normal(loc, jnp.ones_like(loc), n),
    "Bernoulli": Bernoulli,
    "PointMass": PointMass,
    "ContinuousBernoulli": distributions.ContinuousBernoulli,
    "Laplace": lambda loc, n: distributions.Laplace(loc, jnp.ones_like(loc), n),
    "StudentT": lambda loc, n: distributions.StudentT(loc, 1.0, jnp.float32(3), n),
    "Poisson": lambda loc, n: distributions.Poisson(jnp.exp(loc), n),
    "NegativeBinomial": lambda loc, n: distributions.NegativeBinomial(
        jnp.exp(loc), 1.0, n
    ),
    "ZeroInflatedNegativeBinomial": lambda loc, n: (
        distributions.ZeroInflatedNegativeBinomial(jnp.exp(loc), 1.0, loc, n)
    ),
    "BetaBinomial": lambda loc, n: distributions.BetaBinomial(
        jnp.exp(loc), jnp.exp(loc), 3, n
    ),
    "Categorical": lambda loc, n: distributions.Categorical(mixed(loc), n),
    "Levels": lambda loc, n: distributions.Levels(
        distributions.Categorical(mixed(loc)), 2, n
    ),
    "DiscretizedLogistic": lambda loc, n: distributions.DiscretizedLogistic(
        loc, jnp.ones_like(loc), 5, n
    ),
    "DiscretizedLogisticMixture": lambda loc, n: (
        distributions.DiscretizedLogisticMixture(
            mixed(loc), mixed(loc), jnp.exp(mixed(loc)), 5, n
        )
    ),
}
KEYS = {"one key": lambda: jax.random.key(0), "a key each": lambda: toy.keys(0, 5)}


def shape(family, batch_and_event, event_ndims, key, sample_shape):
    q = family(jnp.zeros(batch_and_event), event_ndims)
    return jax.eval_shape(lambda: q.sample(key(), sample_shape)).shape


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_a_draw_has_the_sample_shape_then_the_batch_then_the_event(family, key):
    for sample_shape in [(), (7,), (2, 3)]:
        assert shape(family, (5, 4), 1, key, sample_shape) == (*sample_shape, 5, 4)
    # Particles, examples, and an event [4, 3].
    assert shape(family, (6, 5, 4, 3), 2, key, (2,)) == (2, 6, 5, 4, 3)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_a_key_per_example_gives_a_distribution_without_batch_one(family):
    assert shape(family, (4,), 1, KEYS["a key each"], (7,)) == (7, 5, 4)
    assert shape(family, (4,), 1, KEYS["one key"], (7,)) == (7, 4)


@pytest.mark.parametrize("family", ["Normal", "Bernoulli"])
def test_the_noise_of_an_example_depends_on_no_other(family):
    loc, rows = jnp.zeros((5, 40)), jnp.array([3, 0])
    q = FAMILIES[family]
    drawn = q(loc, 1).sample(toy.keys(0, 5), (2,))
    fewer = q(loc[rows], 1).sample(toy.keys(0, 5)[rows], (2,))
    alone = q(loc[3], 1).sample(toy.keys(0, 5)[3], (2,))
    np.testing.assert_array_equal(drawn[:, rows], fewer)
    np.testing.assert_array_equal(drawn[:, 3], alone)
    assert len(np.unique(drawn.reshape(10, 40), axis=0)) == 10  # all differ


def test_particles_of_one_example_share_its_key_and_not_their_noise():
    drawn = Normal(jnp.zeros((3, 5, 1)), jnp.ones((3, 5, 1))).sample(toy.keys(0, 5))
    assert len(np.unique(drawn)) == 15


def test_split_gives_each_key_of_an_array_what_it_gives_that_key_alone():
    together = split(toy.keys(0, 4), 3)
    alone = split(toy.keys(0, 4)[2], 3)
    assert [part.shape for part in together] == [(4,)] * 3
    for part, own in zip(together, alone, strict=True):
        data = jax.random.key_data(part)[2], jax.random.key_data(own)
        np.testing.assert_array_equal(*data)
    assert len({str(jax.random.key_data(part)) for part in together}) == 3


def test_another_number_of_keys_than_examples_is_an_error():
    for law in (
        distributions.Normal(jnp.zeros((5, 2)), jnp.ones(())),
        distributions.StudentT(jnp.zeros((5, 2)), 1.0, jnp.float32(3)),
    ):
        with pytest.raises(ValueError, match="1 keys for a batch of 5"):
            law.sample(jax.random.split(jax.random.key(0), 1))
