"""A checkpoint holds every bit of a train state, and is never silently missing."""

import functools
import os
import re
import shutil
import time

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


def test_shapes_are_enough_to_restore_into(tmp_path):
    state, _ = make()
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state)
        restored, _ = checkpoints.restore(jax.eval_shape(lambda: make()[0]))
    chex.assert_trees_all_equal(bits(state), bits(restored))
    assert restored.key.dtype == state.key.dtype
    assert restored.step.sharding == state.step.sharding


def test_what_small_files_promise_is_not_allocated_for_shapes_alone(tmp_path):
    large = make()[0]._replace(params={"wide": jnp.zeros((2**24,))})
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(large)
        with pytest.raises(ValueError, match=r"promises 67,[\d,]* bytes, and"):
            checkpoints.restore(jax.eval_shape(lambda: large))
        restored, _ = checkpoints.restore(large)  # who has the memory may have it
    chex.assert_trees_all_equal(bits(large), bits(restored))


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
            shutil.rmtree(tmp_path / "run")
            (tmp_path / "run").write_text("not a folder any more")
            checkpoints.save(state)

    with pytest.raises(OSError, match=r"Checkpoint 0 could not be written to .*run"):
        run()


def test_the_hash_of_parameters_changes_with_one_bit():
    params = make()[0].params
    same = jax.tree.map(jnp.copy, params)
    assert params_sha256(params) == params_sha256(same)
    bias = same["posterior"]["head"]["bias"]
    same["posterior"]["head"]["bias"] = jnp.nextafter(bias, jnp.inf)
    assert params_sha256(params) != params_sha256(same)


def saved(folder, *steps):
    """A folder of checkpoints after these steps, and their states."""
    state, epoch = make()
    states = {}
    with Checkpoints(folder, num_newest=len(steps)) as checkpoints:
        for step in steps:
            state, _ = epoch(state, data=X, num_steps=step - int(state.step))
            checkpoints.save(state, {"at": step})
            states[step] = bits(state)
    return states


def flip(path, place=0.5):
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize("read_only", [False, True])
def test_one_flipped_bit_in_any_file_is_found_and_the_one_before_used(
    tmp_path, read_only
):
    states = saved(tmp_path / "run", 2, 4)
    names = [p.relative_to(tmp_path / "run") for p in files(tmp_path / "run" / "4")]
    assert len(names) > 5
    for number, name in enumerate(names):
        copy = tmp_path / str(number)
        shutil.copytree(tmp_path / "run", copy)
        flip(copy / name)
        found = name.relative_to("4").as_posix()
        message = f"Checkpoint 4 .*{re.escape(found)}"
        with (
            pytest.warns(UserWarning, match=message),
            Checkpoints(copy, read_only=read_only) as checkpoints,
        ):
            restored, notes = checkpoints.restore(make()[0])
        chex.assert_trees_all_equal(states[2], bits(restored))
        assert notes == {"at": 2}
        assert (copy / "damaged-4").is_dir() is not read_only


def files(folder):
    """All with something in them, the manifest too."""
    return [p for p in sorted(folder.rglob("*")) if p.is_file() and p.stat().st_size]


def test_after_falling_back_the_same_step_is_saved_again(tmp_path):
    states = saved(tmp_path, 2, 4)
    flip(next(tmp_path.glob("4/state/d/*")))
    state, epoch = make()
    with pytest.warns(UserWarning, match="now damaged-4"):
        checkpoints = Checkpoints(tmp_path)
    with checkpoints:
        state, _ = checkpoints.restore(state)
        state, _ = epoch(state, data=X, num_steps=2)
        checkpoints.save(state)
        assert checkpoints.steps() == [2, 4]
    with Checkpoints(tmp_path) as checkpoints:
        restored, _ = checkpoints.restore(make()[0])
    chex.assert_trees_all_equal(states[4], bits(restored))


def test_a_step_without_a_manifest_is_not_used_and_not_deleted(tmp_path):
    saved(tmp_path, 2, 4)
    (tmp_path / "4/SHA256SUMS.0-of-1").unlink()
    with Checkpoints(tmp_path, read_only=True) as checkpoints:
        assert checkpoints.steps() == [2]
    with pytest.warns(UserWarning, match="SHA256SUMS is missing .*unsealed-4"):
        checkpoints = Checkpoints(tmp_path)
    with checkpoints:
        restored, _ = checkpoints.restore(make()[0])
    assert int(restored.step) == 2
    assert (tmp_path / "unsealed-4/state").is_dir()


def test_a_run_killed_in_its_first_save_begins_anew(tmp_path):
    saved(tmp_path, 2)
    (tmp_path / "2/SHA256SUMS.0-of-1").unlink()
    with pytest.warns(UserWarning, match="unsealed-2"):
        checkpoints = Checkpoints(tmp_path)
    with checkpoints:
        restored, notes = checkpoints.restore(make()[0])
    assert (int(restored.step), notes) == (0, {})


def test_a_run_whose_checkpoints_are_all_damaged_does_not_silently_begin_anew(tmp_path):
    saved(tmp_path, 2)
    flip(next(tmp_path.glob("2/state/d/*")))
    with pytest.warns(UserWarning, match="damaged-2"):
        Checkpoints(tmp_path).close()
    with (
        Checkpoints(tmp_path) as checkpoints,
        pytest.raises(ValueError, match=r"no good checkpoint, only.*damaged-2"),
    ):
        checkpoints.restore(make()[0])


def test_a_second_writer_is_refused_and_named(tmp_path):
    with Checkpoints(tmp_path):
        with pytest.raises(ValueError, match=rf"written by process {os.getpid()} on"):
            Checkpoints(tmp_path)
        with Checkpoints(tmp_path, read_only=True):
            pass
    with Checkpoints(tmp_path):
        pass


def test_what_was_opened_to_read_is_not_written(tmp_path):
    saved(tmp_path, 2)
    with (
        Checkpoints(tmp_path, read_only=True) as checkpoints,
        pytest.raises(ValueError, match="opened to read only"),
    ):
        checkpoints.save(make()[0])


def test_a_copy_made_while_a_save_ran_falls_back(tmp_path):
    saved(tmp_path / "run", 2, 4)
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    (tmp_path / "copy/4").rename(tmp_path / "copy/4.orbax-checkpoint-tmp")
    with Checkpoints(tmp_path / "copy") as checkpoints:
        restored, _ = checkpoints.restore(make()[0])
    assert int(restored.step) == 2


@pytest.mark.slow
def test_a_save_of_300_mb_keeps_the_loop_for_a_fifth_of_its_time_at_most(tmp_path):
    def state(step):
        keys = jax.random.split(jax.random.key(step), 3)
        like = {"w": jax.random.normal(keys[0], (6400, 4096))}
        mean, square = (jax.random.normal(key, (6400, 4096)) for key in keys[1:])
        opt_state = {"mean": mean, "square": square}
        zero = jnp.int32(0)
        return vaejax.TrainState(step, like, opt_state, jax.random.key(0), zero)

    shares = []
    with Checkpoints(tmp_path) as checkpoints:
        for step in range(1, 7):
            own = jax.block_until_ready(state(jnp.int32(step)))
            began = time.perf_counter()
            checkpoints.save(own)
            returned = time.perf_counter()
            checkpoints.wait()
            whole = time.perf_counter() - began
            shares.append((returned - began) / whole)
    assert np.median(shares[1:]) < 0.2


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), "high"])
@pytest.mark.parametrize("at", [1, 3])
def test_a_score_that_is_no_finite_number_is_never_the_best(tmp_path, bad, at):
    state, epoch = make()
    scores = [0.1, 0.9, 0.5]
    scores.insert(at, bad)
    with Checkpoints(tmp_path, best="elbo", num_newest=1) as checkpoints:
        for score in scores:
            state, _ = epoch(state, data=X)
            checkpoints.save(state, {"elbo": score})
        best = 10 if at == 3 else 15
        assert checkpoints.best_step() == best
        assert checkpoints.steps() == [best, 20]
        with Checkpoints(tmp_path, best="elbo", read_only=True) as look:
            assert look.best_step() == best
        with pytest.raises(TypeError, match="JSON"):
            checkpoints.save(epoch(state, data=X)[0], {"elbo": jnp.ones(())})


def test_the_best_is_looked_for_when_all_processes_have_sealed(tmp_path, monkeypatch):
    with Checkpoints(tmp_path, best="elbo") as checkpoints:
        checkpoints.save(make()[0], {"elbo": 1.0})
        checkpoints.wait()
        sums = tmp_path / "0" / "SHA256SUMS.0-of-1"
        late = sums.rename(tmp_path / "late")
        monkeypatch.setattr(
            "vaejax.checkpoint.barrier", lambda name: late.rename(sums)
        )  # what the other process does while this one waits for it
        assert checkpoints.best_step() == 0
