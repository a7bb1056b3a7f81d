import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from tests import toy
from vaejax.base import Distribution
from vaejax.batch import AXIS, global_mean
from vaejax.distributions import FullNormal, Normal
from vaejax.objectives import elbo, free_bits
from vaejax.rates import sampled

MODEL, X = toy.small_vae(latent_dim=3, hidden=()), toy.bits(8)
PARAMS = jax.tree.map(lambda a: 4 * a, MODEL.init(jax.random.key(0), X))


def rates_of(params):
    """Closed-form rates by hand, `[B, D]`."""
    q = MODEL.encode(params, X)
    return 0.5 * (q.scale**2 + q.loc**2 - 1) - jnp.log(q.scale)


MEANS = np.sort(rates_of(PARAMS).mean(axis=0))
BETWEEN = float(MEANS[:2].mean())  # one dimension below it, two above


@functools.partial(jax.jit, static_argnums=0)
def loss_and_gradient(make, *values):
    def mean(params):
        loss, metrics = make(*values).loss(toy.keys(0, 8), MODEL, params, X)
        return loss.mean(), (loss, metrics)

    gradient, (loss, metrics) = jax.grad(mean, has_aux=True)(PARAMS)
    return loss, metrics, gradient


def per_dimension(free_nats):
    return free_bits(free_nats=free_nats)


def per_group(free_nats):
    return free_bits(free_nats=free_nats, kind="per_group")


close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [per_dimension, per_group])
def test_without_free_nats_it_is_the_elbo_in_every_example(make):
    expected = loss_and_gradient(elbo)
    jax.tree.map(close, loss_and_gradient(make, 0.0), expected)


@pytest.mark.parametrize(
    ("make", "groups", "free"),
    [
        (per_dimension, lambda rates: rates, BETWEEN),
        (per_group, lambda rates: rates.sum(axis=-1, keepdims=True), MEANS.sum() - 0.1),
        (per_group, lambda rates: rates.sum(axis=-1, keepdims=True), MEANS.sum() + 0.1),
    ],
)
def test_its_mean_and_its_gradient_are_those_of_the_formula(make, groups, free):
    @jax.jit
    def by_hand():
        def mean(params):
            loss, _ = elbo(beta=0).loss(toy.keys(0, 8), MODEL, params, X)
            means = groups(rates_of(params)).mean(axis=0)
            return loss.mean() + jnp.maximum(free, means).sum()

        return jax.value_and_grad(mean)(PARAMS)

    loss, metrics, gradient = loss_and_gradient(make, free)
    value, expected = by_hand()
    close(loss.mean(), value)
    close(metrics["rate"], rates_of(PARAMS).sum(axis=-1))
    jax.tree.map(close, gradient, expected)


def test_the_mean_rate_is_that_of_all_devices():
    order = np.argsort(rates_of(PARAMS).sum(axis=-1))
    shares = rates_of(PARAMS)[order].reshape(2, 4, -1).mean(axis=1).sum(axis=-1)
    free = MEANS.sum() - 0.05
    assert shares[0] < free < MEANS.sum() < shares[1]

    def gradient(keys, x):
        def mean(params):
            return per_group(free).loss(keys, MODEL, params, x)[0].mean()

        return global_mean(jax.value_and_grad(mean)(PARAMS))

    keys, x = toy.keys(0, 8), X[order]
    halves = keys.reshape(2, 4), x.reshape(2, 4, -1)
    got = jax.pmap(gradient, axis_name=AXIS)(*halves)
    expected = jax.jit(gradient)(jax.random.clone(keys), x)
    jax.tree.map(lambda a, b: close(a[0], b), got, expected)


@struct.dataclass
class TwoLayers(Distribution):
    """Two normals, one layer each; the first of two dimensions, the second of one."""

    one: Normal
    two: Normal

    def sample_and_rates(self, key, prior, rate, sample_shape=()):
        terms = []
        for q, p in ((self.one, prior[0]), (self.two, prior[1])):
            z, log_q = q.sample_and_log_prob(jax.random.clone(key), sample_shape)
            terms.append(rate(q, p, z, log_q))
        return z, tuple(terms)


def test_every_layer_of_a_hierarchy_is_a_group_or_has_its_dimensions():
    def parts(normal, axis):
        a, b = (jnp.split(field, [2], axis=-1) for field in (normal.loc, normal.scale))
        return Normal(a[axis], b[axis])

    model = MODEL._replace(
        encode=lambda params, x: TwoLayers(
            *(parts(MODEL.encode(params, x), i) for i in range(2))
        ),
        prior=lambda params: tuple(parts(MODEL.prior(params), i) for i in range(2)),
        decode=lambda params, z: MODEL.decode(params, jnp.zeros((1, 8, 3)) + z),
    )
    rates = np.asarray(rates_of(PARAMS))
    layers = np.array([rates[:, :2].sum(axis=-1).mean(), rates[:, 2].mean()])
    for make, groups, free in (
        (per_group, layers, layers.mean()),
        (per_dimension, rates.mean(axis=0), BETWEEN),
    ):
        objective = make(free)
        loss, metrics = jax.jit(
            lambda objective=objective: objective.loss(toy.keys(0, 8), model, PARAMS, X)
        )()
        expected = metrics["distortion"].mean() + np.maximum(groups, free).sum()
        close(loss.mean(), expected)


def test_any_rate_will_do_and_particles_are_averaged():
    flags = {"rate": sampled, "num_particles": 3}

    @jax.jit
    def losses():
        objectives = (
            free_bits(free_nats=0, kind="per_group", **flags),
            free_bits(free_nats=0, **flags),
            elbo(**flags),
        )
        return [
            objective.loss(toy.keys(0, 8), MODEL, PARAMS, X) for objective in objectives
        ]

    (group, _), (_, dimension), (expected, metrics) = losses()
    close(group, expected)
    close(dimension["rate"], metrics["rate"])


def test_dimensions_that_depend_on_one_another_are_an_error():
    tied = FullNormal(jnp.zeros((8, 3)), jnp.eye(3) + jnp.zeros((8, 3, 3)))
    model = MODEL._replace(encode=lambda params, x: tied)
    with pytest.raises(TypeError, match=r"FullNormal.*kind='per_group'"):
        jax.eval_shape(lambda: free_bits().loss(toy.keys(0, 8), model, PARAMS, X))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"free_nats": -0.5}, r"free_nats.*at least 0.*got -0.5"),
        ({"kind": "per_pixel"}, r"per_dimension or per_group, got 'per_pixel'"),
        ({"num_particles": 0}, r"num_particles.*got 0"),
    ],
)
def test_a_bad_argument_is_an_error(flags, message):
    with pytest.raises(ValueError, match=message):
        free_bits(**flags)
