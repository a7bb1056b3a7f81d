"""Runs with steps that are not finite, through the loop and the command line."""

import functools
import json
import re

import jax
import numpy as np
import optax
import pytest

import vaejax
from experiments import cli, loop, workdir
from experiments.errors import UserError
from tests import poison, toy
from vaejax.checkpoint import params_sha256

MODEL, OPTIMIZER = toy.small_vae(hidden=()), optax.adam(0.01)
EPOCH = 10  # steps, one of which a batch of 8 rows is


def images(kinds):
    """A row for each step of an epoch that is read in order, some of them spoilt."""
    batches = [poison.batch(toy.bits(8), 0, kind) for kind in kinds]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *batches)


step = functools.partial(vaejax.train_step, MODEL, poison.OBJECTIVE, OPTIMIZER)


@functools.cache
def chunk():
    return jax.jit(functools.partial(vaejax.train_chunk, step), donate_argnums=0)


def in_order(state, *, data, num_steps):
    """An epoch that takes its batches in the order of the data."""
    first = int(state.step) % EPOCH
    rows = jax.tree.map(lambda leaf: np.roll(leaf, -first, 0), data)
    return chunk()(state, data=rows, num_steps=num_steps)


def fit(
    folder, kinds, max_skipped, num_steps=30, save_seconds=0.0, score=None, lines=None
):
    state = vaejax.init_state(
        jax.random.key(0), MODEL, poison.OBJECTIVE, OPTIMIZER, toy.bits(8)
    )
    plan = loop.Plan(num_steps, EPOCH, None, save_seconds, max_skipped=max_skipped)
    lines = [] if lines is None else lines
    with vaejax.checkpoint.Checkpoints(folder, best="score") as checkpoints:
        try:
            out = loop.fit(
                in_order, state, images(kinds), plan, checkpoints,
                score or (lambda state: {"score": float(state.step)}), lines.append,
            )  # fmt: skip
        finally:
            steps, best = checkpoints.steps(), checkpoints.best_step()
    return out, lines, steps, best


def test_a_run_goes_on_after_a_few_bad_steps_and_its_log_counts_them(tmp_path):
    kinds = [0, poison.RATE, poison.GRADIENT, 0, 0, 0, poison.NAN, 0, 0, 0]
    out, lines, _, _ = fit(tmp_path, kinds, max_skipped=3)
    assert out.step == 30
    assert [line["skipped"] for line in lines] == [3, 3, 3]
    for line in lines:
        assert np.isfinite(line["loss"])
        assert line["nonfinite_rate"] == line["nonfinite_gradient_norm"] == 2
        assert line["nonfinite_distortion"] == 1
        assert "taken" not in line
    assert json.loads(json.dumps(lines, allow_nan=False)) == lines


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        (poison.RATE, "rate, loss"),
        (poison.DISTORTION, "distortion, loss"),
        (poison.GRADIENT, "gradient_norm"),
    ],
)
def test_after_a_row_of_them_it_stops_and_names_step_and_term(tmp_path, kind, named):
    kinds = [0, 0, 0, 0, 0, 0, kind, kind, kind, kind]
    message = rf"4 steps in a row up to step 10 .*not finite were {named}\. .*--learn"
    with pytest.raises(UserError, match=message):
        fit(tmp_path, kinds, max_skipped=4)
    out, _, _, _ = fit(tmp_path / "more", kinds, max_skipped=5)
    assert out.step == 30


def test_what_ends_a_run_is_in_its_log_in_words(tmp_path):
    lines = []
    with pytest.raises(UserError) as error:
        fit(tmp_path / "a", [poison.RATE] * 10, max_skipped=4, lines=lines)
    assert lines == [{"step": 10, "health": str(error.value)}]
    assert "not finite were rate, loss. Lower --learning-rate" in str(error.value)
    lines.clear()
    with pytest.raises(UserError) as error:
        fit(tmp_path / "b", [0] * 10, 4, lines=lines, score=lambda _: {"score": np.inf})
    assert lines == [{"step": 10, "health": str(error.value)}]
    assert "the score is inf by step 10: lower --learning-rate" in str(error.value)


def test_a_row_may_cross_segments_and_what_was_saved_before_it_is_kept(tmp_path):
    good, bad = [0] * 10, [0] * 7 + [poison.RATE] * 3
    fit(tmp_path, good, 5, num_steps=20)
    with pytest.raises(UserError, match="10 steps in a row up to step 30"):
        fit(tmp_path, [poison.NAN] * 10, 5, num_steps=40)
    with vaejax.checkpoint.Checkpoints(tmp_path, best="score") as checkpoints:
        assert checkpoints.steps()[-1] == checkpoints.best_step() == 20
    _, _, steps, best = fit(tmp_path / "ends", bad, 5, num_steps=30)
    assert (steps, best) == ([30], None)  # for its end; in a row it saves nothing else
    kinds = [poison.RATE] * 2 + bad[2:]  # 3 at the end of an epoch, 2 of the next
    with pytest.raises(UserError, match="5 steps in a row up to step 12"):
        fit(tmp_path / "cross", kinds, 5)


def test_a_resumed_run_still_counts_the_row(tmp_path):
    kinds = [poison.RATE] * 2 + [0] * 5 + [poison.RATE] * 3
    fit(tmp_path, kinds, 5, num_steps=10)
    with pytest.raises(UserError, match="5 steps in a row up to step 12"):
        fit(tmp_path, kinds, 5, num_steps=20)
    out, _, _, _ = fit(tmp_path, kinds, 6, num_steps=20)
    whole, _, _, _ = fit(tmp_path / "whole", kinds, 6, num_steps=20)
    assert params_sha256(out.state.params) == params_sha256(whole.state.params)


# The command line.


@pytest.fixture(scope="module")
def npz(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "images.npz"
    image = np.asarray(toy.bits(80, 36)).reshape(80, 6, 6).astype(np.uint8) * 255
    np.savez(path, image=image)
    return path


def train(capsys, npz, folder, *flags):
    code = cli.main([
        "train", "vae", "--dataset", f"npz:{npz}", "--hidden", "8", "--latent-dim", "2",
        "--batch-size", "16", "--workdir", str(folder), "--num-epochs", "2",
        "--binarize", "none", *map(str, flags),
    ])  # fmt: skip
    out, err = capsys.readouterr()
    return code, json.loads(out.splitlines()[-1]) if code == 0 else None, err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--skip-norm", 0), "--skip-norm must be positive"),
        (("--ema-decay", 1), "--ema-decay must be from 0 to below 1"),
        (("--num-microbatches", 3), "--num-microbatches must divide the 16 images"),
        (("--num-microbatches", 0), "--num-microbatches must divide"),
        (("--max-skipped", 0), "--max-skipped must be at least 1"),
        (
            ("--num-microbatches", 2, "--objective", "free_bits"),
            "looks at the whole batch.*use num_microbatches=1",
        ),
    ],
)
def test_a_value_that_cannot_be_is_refused(capsys, npz, tmp_path, flags, message):
    code, _, err = train(capsys, npz, tmp_path / "run", *flags)
    assert code == 2
    assert re.search(message, err), err
    assert not (tmp_path / "run").exists()


def test_the_average_is_scored_kept_and_loaded(capsys, npz, tmp_path):
    plain, averaged = (
        train(capsys, npz, tmp_path / name, "--learning-rate", 0.03, *flags)[1]
        for name, flags in {"plain": (), "averaged": ("--ema-decay", 0.8)}.items()
    )
    assert averaged["elbo"] != plain["elbo"]
    assert averaged["loss"] == pytest.approx(plain["loss"], rel=1e-5)  # of training
    run = workdir.load(tmp_path / "averaged")
    assert params_sha256(run.state.params) == averaged["params_sha256"]
    raw = workdir.load(tmp_path / "plain").state.params
    gap = optax.tree.norm(optax.tree.sub(run.state.params, raw))
    assert gap > 0.01


def test_the_flags_of_a_step_go_together_and_reach_it(capsys, npz, tmp_path):
    _, plain, _ = train(capsys, npz, tmp_path / "plain")
    parts = ("--num-microbatches", 4)
    _, divided, _ = train(capsys, npz, tmp_path / "divided", *parts)
    assert divided["loss"] == pytest.approx(plain["loss"], rel=1e-5)
    skipping = ("--skip-norm", 1e-3, "--optimizer", "sgd", "--learning-rate", 0.1)
    train(capsys, npz, tmp_path / "still", *skipping)
    settings = workdir.read_settings(tmp_path / "still")
    x = np.zeros((1, *settings["data"]["event_shape"]))
    start = workdir.start(settings, x)[1]
    run = workdir.load(tmp_path / "still")
    assert run.state.opt_state.skipped == run.state.step < 10
    assert params_sha256(run.state.params) == params_sha256(start.params)
    precision = ("--network.dtype", "bfloat16")
    _, low, _ = train(capsys, npz, tmp_path / "low", *precision)
    assert low["loss"] == pytest.approx(plain["loss"], rel=5e-3)
    assert low["loss"] != plain["loss"]
