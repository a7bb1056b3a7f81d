"""A run says that its posterior has collapsed when it has, and only then."""

import functools
import itertools
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.datasets import load_digits

import vaejax
from experiments import cli, health, loop
from tests.toy_autoregressive import autoregressive
from vaejax import likelihoods, networks, posteriors, priors, schedules, watched
from vaejax.epoch import epoch_order
from vaejax.objectives import elbo

BATCH, ADAM = 32, optax.adam(1e-2)
DIGITS = jnp.asarray(load_digits().data[:1280] > 7, float)
NETWORK = networks.mlp(hidden=(32,))
VAE = vaejax.latent_variable_model(
    posteriors.diagonal_normal(NETWORK, 4),
    priors.standard_normal(4),
    likelihoods.bernoulli(NETWORK, (64,)),
)
# A Markov chain of bits, each as the one before it with probability 0.9.
LOGIT, NUM_BITS = float(np.log(9)), 12
_draws = np.random.default_rng(0).random((8192, NUM_BITS))
CHAIN = np.cumsum(_draws < np.array([0.5] + [0.1] * (NUM_BITS - 1)), axis=1) % 2
CHAIN = jnp.asarray(CHAIN, float)
AUTOREGRESSIVE = vaejax.latent_variable_model(
    posteriors.diagonal_normal(NETWORK, 2),
    priors.standard_normal(2),
    autoregressive(NUM_BITS, 2, hidden=()),
)


@functools.cache
def start(model, seed=0):
    x = DIGITS if model is VAE else CHAIN
    state = vaejax.init_state(jax.random.key(seed), model, elbo(), ADAM, x[:64])
    if model is VAE:
        return state
    # The decoder knows the chain, so that the best code says nothing; the one that the
    # run starts with says something.
    params = state.params
    params["likelihood"] |= {
        "dense_0": {
            "kernel": 2 * LOGIT * jnp.eye(NUM_BITS, k=1),
            "bias": jnp.full(NUM_BITS, -LOGIT).at[0].set(0.0),
        }
    }
    params["posterior"]["head"]["kernel"] *= 10
    return state._replace(params=params)


@functools.cache
def step_of(model, beta):
    def step(state, x):
        return vaejax.train_step(model, watched(elbo(beta=beta(state.step))), ADAM,
                                 state, x)  # fmt: skip

    return step


@functools.cache
def epoch_of(model, beta):
    return jax.jit(functools.partial(vaejax.train_epoch, step_of(model, beta), BATCH))


def fit(folder, model, beta, num_steps, seed=0, warmup_end=0, save_seconds=1e9):
    x = DIGITS if model is VAE else CHAIN
    plan = loop.Plan(num_steps, len(x) // BATCH, None, save_seconds)
    plan, lines = plan._replace(warmup_end=warmup_end), []
    with vaejax.checkpoint.Checkpoints(folder) as checkpoints:
        loop.fit(
            epoch_of(model, beta), start(model, seed), x, plan, checkpoints,
            lambda state: {}, lines.append,
        )  # fmt: skip
    return lines


def twenty(step):
    return 20.0


def one(step):
    return 1.0


def collapsed_steps(model, beta, num_steps):
    """Step by step, by numpy: the definition."""
    x = DIGITS if model is VAE else CHAIN
    state, flags = start(model), []

    @jax.jit
    def once(state, batch):
        loc = model.encode(state.params, batch).mean()
        objective = elbo(beta=beta(state.step))
        state, metrics = vaejax.train_step(model, objective, ADAM, state, batch)
        return state, metrics["rate"], loc

    for i in range(num_steps):
        epoch, place = divmod(i, len(x) // BATCH)
        if place == 0:
            order = np.asarray(epoch_order(state.key, epoch, len(x), BATCH))
            order = order.reshape(-1, BATCH)
        state, rate, loc = once(state, x[order[place]])
        flags.append(rate < 0.05 or (np.var(loc, axis=0) <= 0.01).all())
    return np.array(flags)


def first_met(flags, num=200):
    """The first step, from 1 on, at the end of so many collapsed ones."""
    rows = np.lib.stride_tricks.sliding_window_view(flags, num).all(axis=1)
    return int(np.argmax(rows)) + num if rows.any() else None


def said(lines):
    return [line for line in lines if "health" in line]


def since(line):
    return int(re.search(r"since step (\d+)", line["health"])[1])


@pytest.mark.parametrize(
    ("model", "beta"), [(VAE, twenty), (AUTOREGRESSIVE, one)], ids=["beta 20", "masked"]
)
def test_a_collapse_is_said_within_one_segment_of_its_definition(
    tmp_path, capsys, model, beta
):
    num_steps = 480
    lines = said(fit(tmp_path, model, beta, num_steps))
    flags = collapsed_steps(model, beta, num_steps)
    met = first_met(flags)
    (line,) = lines
    epoch_steps = len(DIGITS if model is VAE else CHAIN) // BATCH
    print("met", met, "said", line["step"], "since", since(line))
    assert met <= line["step"] < met + epoch_steps
    assert since(line) == met - 199
    assert "has collapsed" in line["health"]
    assert line["health"] in capsys.readouterr().err
    if model is AUTOREGRESSIVE:
        assert not flags[:10].any()  # it was in use


RAMP = schedules.linear(num_warmup_steps=150)
FALL = schedules.linear(num_warmup_steps=250, start=20.0)


slow = pytest.mark.slow
SEEDS = [0, *(pytest.param(seed, marks=slow) for seed in range(1, 9)), 9]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_healthy_run_says_nothing(tmp_path, capsys, seed):
    beta = one if seed < 5 else RAMP
    end = schedules.warmup_end(beta, 600)
    lines = fit(tmp_path, VAE, beta, 600, seed, end)
    assert not said(lines)
    assert "collapsed" not in capsys.readouterr().err
    assert lines[-1]["active_units"] > 3
    assert lines[-1]["rate"] > 1
    assert sum(lines[-1]["rate_per_dimension"]) == pytest.approx(
        lines[-1]["rate"], rel=1e-5
    )


def test_what_happens_in_a_warmup_is_not_said_and_a_recovery_is(tmp_path):
    end = schedules.warmup_end(FALL, 640)
    assert end == 250
    assert not said(fit(tmp_path / "a", VAE, FALL, 640, warmup_end=end))
    collapse, recovery = said(fit(tmp_path / "b", VAE, FALL, 640))
    assert since(collapse) == 1
    assert 200 <= collapse["step"] < 240
    assert "in use again" in recovery["health"]
    flags = collapsed_steps(VAE, FALL, 640)
    well = first_met(~flags)
    assert well <= recovery["step"] < well + 2 * len(DIGITS) // BATCH


def test_the_count_starts_when_the_warmup_has_ended(tmp_path):
    (line,) = said(fit(tmp_path, VAE, twenty, 300, warmup_end=73))
    assert since(line) == 74
    assert 273 <= line["step"] < 313
    assert not said(fit(tmp_path / "short", VAE, twenty, 300, warmup_end=101))


def test_a_run_resumed_in_a_row_of_such_steps_says_the_same_once(tmp_path):
    expected = said(fit(tmp_path / "whole", VAE, twenty, 360))
    before = fit(tmp_path / "parts", VAE, twenty, 130)
    after = fit(tmp_path / "parts", VAE, twenty, 360)
    assert len(expected) == 1
    assert not said(before)
    assert said(after) == expected
    assert not said(fit(tmp_path / "parts", VAE, twenty, 400))


def segments(flags, cuts, notes=health.NEW):
    """What is said of a run of these steps, in segments."""
    texts, step = [], 0
    for part in np.split(np.array(flags), cuts):
        rows = [(flag, len(list(row))) for flag, row in itertools.groupby(part)]
        told = {"taken": len(part), "skipped": 0, "rate": 0.5}
        told |= {
            "collapsed_at_first": rows[0][1] * rows[0][0],
            "collapsed_in_a_row": max(flag * num for flag, num in rows),
            "collapsed_at_last": rows[-1][1] * rows[-1][0],
        }
        step += len(part)
        notes, text = health.after(told, notes, step)
        texts.append(text)
    return texts


def test_a_row_is_200_steps_wherever_it_is_cut():
    none, some = [0, 1, 0], [1] * 200
    for cuts in ([100], [3, 203], [50, 60, 202], [202, 203]):
        texts = segments([*none, *some, *none], cuts)
        assert sum(text is not None for text in texts) == 1
        last = next(i for i, cut in enumerate([*cuts, 206]) if cut >= 203)
        assert "has collapsed" in texts[last], cuts
        assert not any(segments([*none, *some[1:], *none], cuts))
    assert "each of 200 steps" in segments([*none, *some, *none], [])[0]
    assert "since step 4" in segments([*none, *some], [])[0]


def test_a_recovery_takes_as_long_and_may_be_followed_by_another_collapse():
    ends = [200, 300, 399, 400, 450, 650]
    flags = [1] * 200 + [0] * 200 + [1] * 300
    texts = segments(flags, ends)
    kinds = [text and ("collapsed" in text, "again" in text) for text in texts]
    assert kinds == [
        (True, False), None, None, (False, True), None, (True, False), None
    ]  # fmt: skip


def test_a_code_without_a_rate_is_not_judged():
    told = {"loss": 1.0, "taken": 500, "skipped": 0}
    assert health.after(told, health.NEW, 500) == (health.NEW, None)


# The command line.


def train(capsys, folder, *flags):
    code = cli.main([
        "train", "vae", "--hidden", "8", "--latent-dim", "2", "--batch-size", "64",
        "--workdir", str(folder), *map(str, flags),
    ])  # fmt: skip
    return code, capsys.readouterr().err


def test_the_command_line_says_it_on_stderr_and_in_its_log(tmp_path, capsys):
    warm = ("--schedule", "linear", "--num-warmup-steps", 30)
    code, err = train(capsys, tmp_path, "--num-epochs", 13, "--beta", 20, *warm)
    assert code == 0
    log = (tmp_path / "metrics.jsonl").read_text().splitlines()
    (line,) = said(map(json.loads, log))
    assert since(line) >= 31
    assert line["health"] in err.splitlines()


def test_the_flags_of_the_advice_exist(tmp_path, capsys):
    told = re.findall(r"--[\w-]+(?: \w+)?", health.ADVICE)
    warm = ["--schedule linear", "--num-warmup-steps 2000"]
    assert told == ["--beta", *warm, "--objective free_bits"]
    for flags in (("--beta", 0.5, *" ".join(warm).split()), told[-1].split()):
        code, err = train(capsys, tmp_path, "--dataset", "npz:missing.npz", *flags)
        assert code == 2
        assert "missing.npz" in err  # which is looked for once all flags are read
    code, err = train(capsys, tmp_path, "--dataset", "npz:missing.npz", "--nonsense", 1)
    assert "--nonsense" in err
