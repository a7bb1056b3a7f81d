"""Whether the code is in use, inside the step and the compiled epoch."""

import functools
import itertools
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import Mesh

import vaejax
from tests import toy
from tests.rows import BATCH, ROWS, flip
from vaejax import evaluate, likelihoods, networks, posteriors, priors, tally, watched
from vaejax.base import ConditionalModel
from vaejax.epoch import train_epoch
from vaejax.objectives import (
    conditional,
    denoising,
    elbo,
    iwae,
    m2,
    masked,
    reconstruction,
)
from vaejax.rates import sampled
from vaejax.train import TrainState, init_state, train_step

LINEAR = toy.linear_gaussian()
MODEL, SGD = LINEAR.model(), optax.sgd(0.0)
X = LINEAR.draw(64)
TOLD = {"collapsed", "active_units", "rate_per_dimension"}


def metrics_of(objective, model=MODEL, x=X, params=None, optimizer=SGD, **kwargs):
    state = init_state(jax.random.key(0), model, objective, optimizer, x)
    if params is not None:
        params |= {"objective": {}}
        state = state._replace(params=params, opt_state=optimizer.init(params))
    step = functools.partial(train_step, model, objective, optimizer, **kwargs)
    return jax.jit(step)(state, x)


def test_it_tells_what_evaluation_tells_of_the_batch():
    for shift in (0.0, 300.0):  # a variance does not care where its mean is
        params = LINEAR.params(shift)
        _, metrics = metrics_of(watched(elbo()), params=params)
        units = evaluate.active_units(MODEL, params, X)
        rates = evaluate.rate_per_dimension(MODEL, params, X)
        assert metrics["active_units"] == units.num_active == 2
        np.testing.assert_allclose(metrics["rate_per_dimension"], rates.mean, rtol=1e-5)
        np.testing.assert_allclose(metrics["rate"], rates.mean.sum(), rtol=1e-5)
        assert metrics["collapsed"] == 0


def shrunk(factors, scale=1.0, shift=0.0):
    """A model whose posterior means are x times a factor, and a shift."""
    network = (lambda key, x: {}), lambda params, x: x
    model = vaejax.latent_variable_model(
        posteriors.diagonal_normal(network, len(factors)),
        priors.standard_normal(len(factors)),
        likelihoods.normal(network, (len(factors),), scale=1.0),
    )
    params = model.init(jax.random.key(0), jnp.zeros((1, len(factors))))
    raw = LINEAR.params(stretch=scale / LINEAR.scale())["posterior"]["head"]["bias"][-1]
    kernel = jnp.concatenate([jnp.diag(jnp.array(factors)), jnp.zeros((2, 2))], axis=1)
    bias = jnp.concatenate([jnp.full(2, shift), jnp.full(2, raw)])
    params["posterior"]["head"] = {"kernel": kernel, "bias": bias}
    return model, params


SIGNS = jnp.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])


@pytest.mark.parametrize(
    ("factors", "scale", "shift", "active", "collapsed"),
    [
        ((0.3, 0.3), 1.0, 0.0, 2, 0),  # 0.09 nats, variances of 0.09
        ((0.2, 0.2), 1.0, 0.0, 2, 1),  # 0.04 nats
        ((0.101, 0.099), 0.5, 0.0, 1, 0),  # variances of 0.0102 and 0.0098
        ((0.099, 0.099), 0.5, 0.0, 0, 1),  # 0.65 nats, which say little of x
        ((0.0, 0.0), 1.0, 2.0, 0, 1),  # 4 nats, which say nothing
        ((np.nan, 0.3), 1.0, 0.0, np.nan, 0),
    ],
)
def test_a_step_has_collapsed_with_little_rate_or_no_active_unit(
    factors, scale, shift, active, collapsed
):
    model, params = shrunk(factors, scale, shift)
    _, metrics = metrics_of(watched(elbo()), model, SIGNS, params)
    factors = np.array(factors)
    exact = 0.5 * (factors**2 + shift**2 + scale**2 - 1 - 2 * np.log(scale))
    np.testing.assert_allclose(metrics["rate_per_dimension"], exact, rtol=1e-4)
    np.testing.assert_array_equal(metrics["active_units"], active)
    assert metrics["collapsed"] == collapsed


def small(objective, optimizer):
    model = toy.small_vae()
    return metrics_of(objective, model, toy.bits(), optimizer=optimizer)


def test_loss_gradient_and_other_metrics_stay_as_they_are():
    adam = optax.adam(0.1)
    plain, metrics = small(elbo(beta=0.5), adam)
    state, told = small(watched(elbo(beta=0.5)), adam)
    chex.assert_trees_all_equal(state.params, plain.params)
    assert {name: told[name] for name in metrics} == metrics
    assert set(told) == set(metrics) | TOLD


def test_the_compiler_computes_the_posterior_once():
    def count(objective):
        model, x = toy.small_vae(hidden=()), toy.bits()
        state = init_state(jax.random.key(0), model, objective, SGD, x)
        step = functools.partial(train_step, model, objective, SGD)
        text = jax.jit(step).lower(state, x).compile().as_text()
        return len(re.findall(r"\bdot\(|__onednn\$matmul", text))

    for objective in (elbo(), iwae(num_particles=3)):
        assert count(watched(objective)) == count(objective) >= 5
    assert count(denoising(watched(elbo()), flip)) == count(denoising(elbo(), flip))


def test_an_objective_without_a_rate_tells_nothing_more():
    _, metrics = small(watched(reconstruction()), SGD)
    assert set(metrics) == {"loss", "distortion", "gradient_norm"}


def test_a_posterior_without_a_mean_is_judged_by_its_rate():
    network = networks.mlp(hidden=())
    model = vaejax.latent_variable_model(
        posteriors.iaf(network, 2),
        priors.standard_normal(2),
        likelihoods.bernoulli(network, (6,)),
    )
    _, metrics = metrics_of(watched(elbo(rate=sampled)), model, toy.bits())
    assert set(metrics) & TOLD == {"collapsed"}
    assert metrics["collapsed"] == (metrics["rate"] < 0.05)


def test_of_one_example_nothing_varies_so_that_it_is_judged_by_its_rate():
    model, params = shrunk((0.3, 0.3))
    objective = watched(elbo())
    _, metrics = metrics_of(objective, model, SIGNS[:1], params)
    assert set(metrics) & TOLD == {"collapsed", "rate_per_dimension"}
    assert metrics["collapsed"] == 0  # 0.09 nats
    _, metrics = metrics_of(objective, model, SIGNS, params, num_microbatches=4)
    assert metrics["active_units"] == 2
    mesh = Mesh(np.array(jax.devices()[:4]), ("batch",))
    step = functools.partial(train_step, model, objective, SGD)
    for mode in ("pmap", "jit"):  # one on each device, of four
        state = init_state(jax.random.key(0), model, objective, SGD, SIGNS)
        state = state._replace(params=shrunk((0.3, 0.3))[1] | {"objective": {}})
        _, metrics = vaejax.parallelize(step, mesh, mode)(state, SIGNS)
        assert metrics["active_units"] == 2


@pytest.mark.parametrize(("objective", "model", "x"), ROWS.values(), ids=ROWS)
def test_any_objective_may_be_watched(objective, model, x):
    def metrics(watch):
        own = watched(objective) if watch else objective
        params = model.init(jax.random.key(0), x)
        params |= {"objective": own.init(jax.random.key(1), model, params, x)}
        keys = jax.random.split(jax.random.key(2), BATCH)
        means = {n: m.mean(0) for n, m in own.loss(keys, model, params, x)[1].items()}
        return own.summary(means)

    plain, told = (jax.eval_shape(functools.partial(metrics, w)) for w in (False, True))
    assert {name: told[name] for name in plain} == plain
    assert set(told) - set(plain) <= TOLD
    assert ("collapsed" in told) == ("rate" in plain)
    dimensions = told.get("rate_per_dimension", jnp.zeros(2)).shape
    assert dimensions == (2,)


def test_what_is_around_it_keeps_what_it_tells():
    x, y = toy.bits(), jnp.arange(8) % 2
    plain = toy.small_vae(hidden=())
    pair = vaejax.missing.mask_blind(plain), (x, jnp.ones_like(x))
    given = ConditionalModel(lambda key, x: plain.init(key, x[0]), lambda y: plain)
    for objective, model, batch in (
        (denoising(watched(elbo()), flip), plain, x),
        (masked(watched(elbo())), *pair),
        (conditional(watched(elbo())), given, (x, y)),
        (m2(watched(elbo()), networks.headed(toy.identity(), 2)), given, (x, y)),
        (watched(conditional(elbo())), given, (x, y)),
    ):
        _, metrics = metrics_of(objective, model, batch)
        names = {"loss", "distortion", "rate", "gradient_norm"}
        assert set(metrics) == names | TOLD


@pytest.mark.parametrize("mode", ["pmap", "jit"])
@pytest.mark.parametrize("num_microbatches", [1, 2])
def test_on_many_devices_it_is_that_of_the_global_batch_after_one_sum(
    mode, num_microbatches
):
    model, params = shrunk((0.101, 0.099), 0.5)
    x, objective = jnp.repeat(SIGNS, 2, axis=0), watched(elbo())  # alike on a device
    state = init_state(jax.random.key(0), model, objective, SGD, x)
    state = state._replace(params=params | {"objective": {}})
    _, expected = metrics_of(objective, model, x, params)
    mesh = Mesh(np.array(jax.devices()[:4]), ("batch",))
    step = functools.partial(
        train_step, model, objective, SGD, num_microbatches=num_microbatches
    )
    _, metrics = vaejax.parallelize(step, mesh, mode)(state, x)
    for name in TOLD:
        np.testing.assert_allclose(metrics[name], expected[name], rtol=1e-5)
    assert metrics["active_units"] == 1


# Rows of collapsed steps.


def flagged(state, x):
    """A step that has collapsed where its batch says so; -1 is a step not taken."""
    lost = x[0] < 0
    skipped = jnp.where(lost, state.skipped + 1, 0)
    new = state._replace(step=state.step + 1, skipped=skipped)
    return new, {"collapsed": (x[0] > 0).astype(float), "loss": jnp.float32(0)}


@functools.cache
def chunk():
    return jax.jit(functools.partial(vaejax.train_chunk, flagged))


def rows_of(flags):
    """By the definition: the rows of 1 at the start, the longest, and at the end."""
    rows = itertools.groupby(np.asarray(flags) > 0)
    ones = [flag * len(list(row)) for flag, row in rows]
    return ones[0], max(ones), ones[-1]


def test_rows_are_counted_in_the_program_and_across_segments():
    rng = np.random.default_rng(0)
    zero, key = jnp.int32(0), jax.random.key(0)
    for probability in (0.0, 0.5, 0.8, 0.95, 1.0):
        flags = (rng.random(12) < probability).astype(int)
        flags[rng.random(12) < 0.1] = -1
        cuts = sorted(rng.integers(1, 12, 3))
        told, state = {}, TrainState(zero, {}, (), key, zero)
        for part in np.split(flags, cuts):
            data = np.zeros((12, 1), int)
            data[: len(part), 0] = part
            state, own = chunk()(state, data=data, num_steps=len(part))
            if len(part):
                assert tuple(own[n] for n in tally.ROWS) == rows_of(part), part
            told = tally.merged(told, jax.device_get(own), np)
        assert tuple(told[n] for n in tally.ROWS) == rows_of(flags), (flags, cuts)
        assert told["taken"] == (flags >= 0).sum()


def test_a_vector_with_one_number_that_is_not_finite_counts_once():
    zero = jnp.int32(0)
    for vector, count in (([1.0, 2.0], 0), ([1.0, np.nan], 1), ([np.inf, np.nan], 1)):
        told = tally.of_step(zero, zero, {"vector": jnp.array(vector)})
        assert told["nonfinite_vector"] == count


def test_an_epoch_tells_the_means_of_vectors_and_the_share_of_collapsed_steps():
    model, x = toy.small_vae(hidden=()), toy.bits(16)
    objective = watched(elbo())
    state = init_state(jax.random.key(0), model, objective, SGD, x)
    step = functools.partial(train_step, model, objective, SGD)
    _, told = jax.jit(functools.partial(train_epoch, step, 8))(state, data=x)
    assert told["rate_per_dimension"].shape == (2,)
    np.testing.assert_allclose(told["rate_per_dimension"].sum(), told["rate"], 1e-5)
    assert told["nonfinite_rate_per_dimension"].shape == ()
