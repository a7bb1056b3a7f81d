"""One device, pmap and jit give the same run: bit-equal noise, losses to rounding."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import Mesh

import vaejax
from tests import poison, toy
from tests.rows import ROWS, flip
from vaejax import likelihoods, networks, posteriors, priors
from vaejax.base import Objective
from vaejax.distributions import Normal
from vaejax.epoch import train_epoch
from vaejax.objectives import denoising, elbo, iwae, reconstruction
from vaejax.rates import path_derivative, sampled
from vaejax.train import train_step

BATCH, NUM_STEPS = 8, 50
IMAGES = toy.bits(BATCH * NUM_STEPS + 3, 4)
OPTIMIZER = optax.adam(0.01)


OBJECTIVES = {
    "elbo": elbo(),
    "iwae": iwae(num_particles=3),
    "denoising": denoising(elbo(rate=path_derivative), flip),
    "elbo, sampled": elbo(rate=sampled, num_particles=2),
    "reconstruction": reconstruction(),
    "optimal scale": elbo(),
}
FAST = ("elbo", "iwae", "denoising")
MODES = [(mode, num) for mode in ("pmap", "jit") for num in (4, 2, 1)]


def model_of(name):
    network = networks.mlp(hidden=())
    if name == "optimal scale":
        likelihood = likelihoods.normal(network, (4,), scale="optimal")
    else:
        likelihood = likelihoods.bernoulli(network, (4,))
    return vaejax.latent_variable_model(
        posteriors.diagonal_normal(network, 2), priors.standard_normal(2), likelihood
    )


def recording(objective):
    """The objective on `{"x", "place"}`, which also tells each example's own noise.

    All but one term of the mean of such a metric are 0 and the batch is a power of 2,
    so the mean is the noise bit for bit.
    """

    def loss(key, model, params, x):
        own = Normal(jnp.zeros(2), jnp.ones(2)).sample(jax.random.clone(key))[:, 1]
        value, metrics = objective.loss(key, model, params, x["x"])
        for place in range(BATCH):
            here = jnp.where(x["place"] == place, BATCH * own, 0)
            metrics[f"noise {place}"] = here
        return value, metrics

    def init(key, model, params, x):
        return objective.init(key, model, params, x["x"])

    return Objective(loss, init)


def mesh(num):
    return Mesh(np.array(jax.devices()[:num]), ("batch",))


@functools.cache
def initial(likelihood):
    model = model_of(likelihood)
    return vaejax.init_state(
        jax.random.key(0), model, elbo(), OPTIMIZER, IMAGES[:BATCH]
    )


def start(name):
    """A model, and a state of its own that may be donated."""
    state = initial("optimal scale" if name == "optimal scale" else "elbo")
    copy = jax.tree.map(jnp.array, state._replace(key=jax.random.key_data(state.key)))
    return model_of(name), copy._replace(key=jax.random.wrap_key_data(copy.key))


def run(name, mode, num):
    """The metrics of 50 steps one by one, and the parameters after them."""
    model, state = start(name)
    step = functools.partial(train_step, model, recording(OBJECTIVES[name]), OPTIMIZER)
    step = jax.jit(step) if mode is None else vaejax.parallelize(step, mesh(num), mode)
    rows = []
    for i in range(NUM_STEPS):
        own = slice(i * BATCH, (i + 1) * BATCH)
        x = {"x": IMAGES[own], "place": jnp.arange(BATCH)}
        state, metrics = jax.block_until_ready(step(state, x))
        rows.append(jax.device_get(metrics))
    return jax.device_get(state.params), {
        key: np.array([row[key] for row in rows]) for key in rows[0]
    }


def run_epoch(name, mode, num):
    """The means of the metrics over an epoch of 50 steps in two segments."""
    model, state = start(name)
    step = functools.partial(train_step, model, OBJECTIVES[name], OPTIMIZER)
    epoch = functools.partial(train_epoch, step, BATCH, prepare=flip)
    if mode is None:
        epoch = jax.jit(epoch)
    else:
        epoch = vaejax.parallelize(epoch, mesh(num), mode)
    means = []
    for num_steps in (20, 40):  # the second crosses the end of the epoch
        state, metrics = jax.block_until_ready(
            epoch(state, data=IMAGES, num_steps=jnp.int32(num_steps))
        )
        means.append(jax.device_get(metrics))
    return jax.device_get(state.params), means


one_device = functools.cache(functools.partial(run, mode=None, num=1))
one_epoch = functools.cache(functools.partial(run_epoch, mode=None, num=1))


def close(params, expected):
    """Parameters after many steps, whose rounding has grown."""
    for a, b in zip(*map(jax.tree.leaves, (params, expected)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def rows(fast):
    def row(name, mode, num):
        quick = name in fast and num == 4
        return pytest.param(name, mode, num, marks=() if quick else pytest.mark.slow)

    return [row(name, mode, num) for name in OBJECTIVES for mode, num in MODES]


@pytest.mark.parametrize(("name", "mode", "num"), rows(FAST))
def test_50_steps_give_the_losses_and_the_very_noise_of_one_device(name, mode, num):
    params, expected = one_device(name)
    own, got = run(name, mode, num)
    np.testing.assert_allclose(got["loss"], expected["loss"], rtol=1e-5)
    noise = [key for key in expected if key.startswith("noise")]
    assert len(noise) == BATCH
    for key in noise:
        np.testing.assert_array_equal(got[key], expected[key])
    assert len(np.unique([expected[key] for key in noise])) == BATCH * NUM_STEPS
    close(own, params)


@pytest.mark.parametrize(("name", "mode", "num"), rows(("elbo",)))
def test_60_steps_of_the_epoch_are_those_of_one_device(name, mode, num):
    params, expected = one_epoch(name)
    own, got = run_epoch(name, mode, num)
    for mine, theirs in zip(got, expected, strict=True):
        for key in theirs:
            np.testing.assert_allclose(mine[key], theirs[key], rtol=1e-5, err_msg=key)
    close(own, params)


# Rows whose rounding grows along the 50 steps, with the largest relative difference
# seen in float32; their float64 runs agree to 1e-9.
GROWS: dict[str, float] = {}


@functools.cache
def train_row(name, mode):
    """The losses of 50 steps of a row of the contract table, in its own precision."""
    objective, model, x = ROWS[name]
    state = vaejax.init_state(jax.random.key(0), model, objective, OPTIMIZER, x)
    if name in GROWS:
        wide = functools.partial(jnp.asarray, dtype=jnp.float64)
        state = state._replace(
            params=jax.tree.map(wide, state.params),
            opt_state=jax.tree.map(
                lambda a: wide(a) if a.dtype == jnp.float32 else a, state.opt_state
            ),
        )
    step = functools.partial(train_step, model, objective, OPTIMIZER)
    step = jax.jit(step) if mode is None else vaejax.parallelize(step, mesh(4), mode)
    losses = []
    for _ in range(NUM_STEPS):
        state, metrics = jax.block_until_ready(step(state, x))
        losses.append(float(metrics["loss"]))
    return np.array(losses)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["pmap", "jit"])
@pytest.mark.parametrize("name", ROWS)
def test_every_row_trains_on_four_devices_with_the_losses_of_one(name, mode):
    with jax.enable_x64(name in GROWS):
        expected, got = train_row(name, None), train_row(name, mode)
    assert len(np.unique(expected)) > 40  # a bound in float32 may repeat one
    np.testing.assert_allclose(got, expected, rtol=1e-9 if name in GROWS else 1e-5)


HOST = ("callback", "infeed", "outfeed", "send(", "recv(")  # what would wait for it


@pytest.mark.parametrize("kind", ["step", "epoch"])
def test_jit_divides_the_batch_and_sums_over_the_devices(kind, monkeypatch):
    model, state = start("elbo")
    step = functools.partial(train_step, model, elbo(), OPTIMIZER)
    texts, jit = [], jax.jit

    def spy(function, **kwargs):
        compiled = jit(function, **kwargs)
        if "donate_argnums" not in kwargs:  # not the one of `parallelize`
            return compiled

        def call(*args):
            texts.append(compiled.lower(*args).compile().as_text())
            return args[0], {}

        return call

    monkeypatch.setattr(jax, "jit", spy)
    if kind == "step":
        vaejax.parallelize(step, mesh(4), "jit")(state, IMAGES[:BATCH])
    else:
        epoch = functools.partial(train_epoch, step, BATCH)
        vaejax.parallelize(epoch, mesh(4), "jit")(state, data=IMAGES)
    (text,) = texts
    assert "all-reduce" in text
    assert not [word for word in HOST if word in text]
    products = [line for line in text.splitlines() if " dot(" in line]
    assert products
    # Latents, logits and noise: 2 rows on each device, the batch of 8 nowhere.
    assert any("f32[2,4]" in line for line in products)
    assert not any("f32[8," in line or ",8]" in line for line in products)


@pytest.mark.parametrize("mode", ["pmap", "jit"])
def test_an_uneven_batch_is_an_error_that_names_both_numbers(mode):
    model, state = start("elbo")
    step = functools.partial(train_step, model, elbo(), OPTIMIZER)
    with pytest.raises(ValueError, match=r"10.*4"):
        vaejax.parallelize(step, mesh(4), mode)(state, IMAGES[:10])
    epoch = functools.partial(train_epoch, step, 10)
    with pytest.raises(ValueError, match=r"10.*4"):
        vaejax.parallelize(epoch, mesh(4), mode)(state, data=IMAGES)


def test_a_mode_that_is_neither_is_an_error():
    with pytest.raises(ValueError, match=r"'pmap' or 'jit', got 'shard_map'"):
        vaejax.parallelize(lambda state, x: (state, {}), mesh(2), "shard_map")


@pytest.mark.parametrize("mode", ["pmap", "jit"])
def test_the_state_comes_back_whole_in_place_and_is_donated(mode):
    def step(state, x):
        return state._replace(step=state.step + 1), {"x": jnp.mean(x)}

    _, state = start("elbo")
    placed, _ = vaejax.parallelize(step, mesh(4), mode)(state, IMAGES[:BATCH])
    assert all(leaf.is_fully_replicated for leaf in jax.tree.leaves(placed.params))
    assert {len(leaf.devices()) for leaf in jax.tree.leaves(placed.params)} == {4}
    parallel = vaejax.parallelize(step, mesh(4), mode)
    jax.block_until_ready(parallel(placed, IMAGES[:BATCH]))
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(placed.params))


def test_a_mesh_of_any_shape_and_names_will_do():
    def step(state, x):
        return state, {"x": vaejax.batch.global_mean(jnp.mean(x))}

    _, state = start("elbo")
    grid = Mesh(np.array(jax.devices()[:4]).reshape(2, 2), ("host", "device"))
    _, metrics = vaejax.parallelize(step, grid)(state, IMAGES[:BATCH])
    np.testing.assert_allclose(metrics["x"], IMAGES[:BATCH].mean(), rtol=1e-6)


def poisoned():
    """A step that a row of its batch can spoil, and the state before it."""
    model, objective = toy.small_vae(4, hidden=()), poison.OBJECTIVE
    step = functools.partial(train_step, model, objective, OPTIMIZER)
    x = IMAGES[:BATCH]
    return step, vaejax.init_state(jax.random.key(0), model, objective, OPTIMIZER, x)


def copies(state):
    """Every device's own copy of a state, on the host."""
    state = state._replace(key=jax.random.key_data(state.key))
    return [
        [np.array(shard.data) for shard in leaf.addressable_shards]
        for leaf in jax.tree.leaves(state)
    ]


@pytest.mark.parametrize("mode", ["pmap", "jit"])
def test_100_faults_each_in_one_shard_change_no_state_on_any_device(mode):
    step, state = poisoned()
    step = vaejax.parallelize(step, mesh(4), mode)
    good = poison.batch(IMAGES[:BATCH])
    state, _ = jax.block_until_ready(step(state, good))
    before = copies(state._replace(step=jnp.int32(0), skipped=jnp.int32(0)))
    rng, met = np.random.default_rng(0), set()
    for injection in range(1, 101):
        kind, row = rng.choice(list(poison.NAMED)), int(rng.integers(BATCH))
        bad = poison.batch(IMAGES[:BATCH], row, kind)
        state, metrics = jax.block_until_ready(step(state, bad))
        met.add((kind, row // 2))
        assert poison.named(metrics) == poison.NAMED[kind]
        assert (state.step, state.skipped) == (injection + 1, injection)
        after = copies(state._replace(step=jnp.int32(0), skipped=jnp.int32(0)))
        for mine, theirs in zip(after, before, strict=True):
            for one, other in zip(mine, theirs, strict=True):
                np.testing.assert_array_equal(one, other)
    assert len(met) == 4 * len(poison.NAMED)  # every fault on every device
    state, metrics = jax.block_until_ready(step(state, good))
    assert state.skipped == 0
    assert np.isfinite(metrics["loss"])


@pytest.mark.parametrize("mode", ["pmap", "jit"])
def test_a_trial_is_taken_back_on_every_device_where_one_shard_fails(mode):
    """Against one device that looks at every step: the same are taken, the same not."""
    data = poison.batch(IMAGES)
    kinds = jnp.array([poison.RATE, poison.DISTORTION, poison.GRADIENT])
    data["bad"] = data["bad"].at[jnp.array([3, 90, 250])].set(kinds)

    step, state = poisoned()
    epoch = functools.partial(train_epoch, step, BATCH)
    one_by_one = jax.jit(functools.partial(epoch, num_on_trial=1))
    expected, counts = jax.block_until_ready(one_by_one(state, data=data))
    assert counts["skipped"] == 3
    trial = functools.partial(epoch, num_on_trial=16)
    trial = vaejax.parallelize(trial, mesh(4), mode)
    state, metrics = jax.block_until_ready(trial(state, data=data))
    for name in counts:
        np.testing.assert_allclose(metrics[name], counts[name], rtol=1e-5, err_msg=name)
    for one in copies(state):
        for other in one[1:]:
            np.testing.assert_array_equal(other, one[0])
    close(state.params, expected.params)


def test_an_estimate_for_every_image_is_that_of_one_device():
    model, state = start("elbo")
    x, params = IMAGES[:16], state.params

    def estimate(params, x):
        return vaejax.evaluate.log_likelihood(jax.random.key(3), model, params, x, 50)

    expected = jax.jit(estimate)(params, x)
    got = vaejax.map_rows(estimate, mesh(4))(params, x)
    assert len(got[0].sharding.device_set) == 4
    for mine, theirs in zip(*map(jax.tree.leaves, (got, expected)), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(got[0], expected[0], rtol=1e-5)
    assert len(np.unique(got[0])) > 8
    with pytest.raises(ValueError, match="15 examples cannot be split over 4"):
        vaejax.map_rows(estimate, mesh(4))(params, x[:15])
