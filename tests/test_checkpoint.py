"""A checkpoint holds every bit of a train state, and is never silently missing."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import vaejax
from vaejax import likelihoods, networks, objectives, posteriors, priors
from vaejax.checkpoint import Checkpoints, params_sha256

X = np.random.default_rng(0).normal(size=(50, 5)).astype(np.float32)


def make(width=8, optimizer=None):
    small = networks.mlp(hidden=(width,))
    model = vaejax.latent_variable_model(
        posteriors.diagonal_normal(small, 2),
        priors.standard_normal(2),
        likelihoods.normal(small, (5,), scale="optimal"),
    )
    objective, optimizer = objectives.elbo(), optimizer or optax.adam(1e-2)
    state = vaejax.init_state(jax.random.key(0), model, objective, optimizer, X)
    step = functools.partial(vaejax.train_step, model, objective, optimizer)
    epoch = functools.partial(vaejax.train_epoch, step, 10)
    return state, jax.jit(epoch, donate_argnums=0)


def bits(state):
    state = state._replace(key=jax.random.key_data(state.key))
    return jax.tree.map(lambda leaf: np.array(leaf), state)


def test_a_run_stopped_at_any_step_and_resumed_is_bit_identical(tmp_path):
    start, epoch = make()

    def run(state, num_steps):
        for num in [5] * (num_steps // 5) + [num_steps % 5] * (num_steps % 5 > 0):
            state, _ = epoch(state, data=X, num_steps=num)
        return state

    def fresh():
        return jax.tree.map(jnp.copy, start)

    straight = bits(run(fresh(), 15))
    for stop in range(1, 15):
        with Checkpoints(tmp_path / str(stop)) as checkpoints:
            checkpoints.save(run(fresh(), stop))
        with Checkpoints(tmp_path / str(stop)) as checkpoints:
            state, _ = checkpoints.restore(fresh())
        chex.assert_trees_all_equal(straight, bits(run(state, 15 - stop)))
    assert epoch._cache_size() <= 2  # from init_state, and from a checkpoint


def test_what_is_saved_is_what_was_given_though_it_is_donated_at_once(tmp_path):
    state, epoch = make()
    with Checkpoints(tmp_path, num_newest=10) as checkpoints:
        given = {}
        for _ in range(5):
            given[int(state.step)] = bits(state)
            checkpoints.save(state)
            old = state
            state, _ = epoch(state, data=X)
            assert old.params["posterior"]["head"]["bias"].is_deleted()
    with Checkpoints(tmp_path) as checkpoints:
        for step, expected in given.items():
            restored, _ = checkpoints.restore(make()[0], step)
            chex.assert_trees_all_equal(expected, bits(restored))


def test_the_newest_and_the_best_are_kept_with_their_notes(tmp_path):
    state, epoch = make()
    scores = [1.0, 9.0, 3.0, None, 2.0]
    with Checkpoints(tmp_path, best="elbo", num_newest=2) as checkpoints:
        for score in scores:
            state, _ = epoch(state, data=X)
            notes = {"said": [1, "two"]} | ({} if score is None else {"elbo": score})
            checkpoints.save(state, notes)
        checkpoints.wait()
        assert checkpoints.steps() == [10, 20, 25]
        assert checkpoints.best_step() == 10
        restored, notes = checkpoints.restore(make()[0], 10)
    assert int(restored.step) == 10
    assert notes == {"said": [1, "two"], "elbo": 9.0}


def test_an_empty_folder_restores_the_state_it_was_given(tmp_path):
    state, _ = make()
    with Checkpoints(tmp_path) as checkpoints:
        restored, notes = checkpoints.restore(state)
    assert restored is state
    assert notes == {}


def test_a_step_that_is_already_there_is_not_silently_dropped(tmp_path):
    state, _ = make()
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state)
        with pytest.raises(ValueError, match="Step 0 was not saved"):
            checkpoints.save(state)


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (lambda: make(width=9)[0], r"mu/likelihood/decoder/head/kernel is .*8, 5"),
        (lambda: make(optimizer=optax.sgd(0.1))[0], "opt_state/0/count is .*absent"),
        (
            lambda: jax.tree.map(
                lambda leaf: leaf.astype(jnp.bfloat16) if leaf.ndim == 2 else leaf,
                make()[0],
            ),
            "bfloat16",
        ),
    ],
)
def test_a_state_of_another_form_is_refused_and_the_leaf_named(tmp_path, other, named):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(make()[0])
        checkpoints.wait()
        with pytest.raises(ValueError, match=named):
            checkpoints.restore(other())


def test_a_step_that_is_not_there_is_refused(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(make()[0])
        with pytest.raises(ValueError, match=r"holds no step 7, only \[0\]"):
            checkpoints.restore(make()[0], 7)


def test_counts_below_one_are_refused(tmp_path):
    with pytest.raises(ValueError, match="at least 1"):
        Checkpoints(tmp_path, num_newest=0)


def test_a_failed_background_save_surfaces(tmp_path):
    state, _ = make()

    def run():
        with Checkpoints(tmp_path / "run") as checkpoints:
            (tmp_path / "run").rmdir()
            (tmp_path / "run").write_text("not a folder any more")
            checkpoints.save(state)

    with pytest.raises(Exception, match=r"run"):
        run()


def test_the_hash_of_parameters_changes_with_one_bit():
    params = make()[0].params
    same = jax.tree.map(jnp.copy, params)
    assert params_sha256(params) == params_sha256(same)
    bias = same["posterior"]["head"]["bias"]
    same["posterior"]["head"]["bias"] = jnp.nextafter(bias, jnp.inf)
    assert params_sha256(params) != params_sha256(same)
