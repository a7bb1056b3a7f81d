"""Sweeps: a member is the run that `train` makes, whatever goes on beside it."""

import functools
import json
import math
import shutil
import signal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import vaejax
from experiments import cli, curve, models, sweep
from experiments.members import member, program
from experiments.workdir import load

TINY = (
    "--network.hidden", 16, "--latent-dim", 3, "--batch-size", 100,
    "--num-images", 60, "--num-particles", 10,
)  # fmt: skip
PAIR = ("--seeds", 2, "--beta", 0.5, 4)
NAMES = [f"beta-{beta}-seed-{seed}" for beta in ("0.5", "4") for seed in (0, 1)]


def run(verb, folder, *flags):
    words = [verb, "vae", *TINY, "--workdir", folder, *flags]
    if verb == "train":
        words = [w for w in words if w not in TINY[-4:]]
    return cli.main(list(map(str, words)))


def compiled(caplog):
    """How often the program of all members was compiled."""
    texts = [record.getMessage() for record in caplog.records]
    return sum("Finished XLA compilation of jit(mapped)" in text for text in texts)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Two epochs of a sweep: `(folder, what it prints)`."""
    folder = tmp_path_factory.mktemp("sweep") / "runs"
    assert run("sweep", folder, *PAIR, "--num-epochs", 2) == 0
    return folder, json.loads((folder / "result.json").read_text())


def params_of(folder):
    return jax.device_get(load(folder).state.params)


def assert_close(got, expected, rtol=1e-5, atol=1e-6):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=atol),
        got,
        expected,
    )


@pytest.mark.parametrize(("beta", "seed"), [(0.5, 0), (0.5, 1), (4, 1)])
def test_a_member_is_the_run_that_train_makes(done, tmp_path, beta, seed):
    folder, _ = done
    flags = "--beta", beta, "--seed", seed, "--num-epochs", 2
    assert run("train", tmp_path / "own", *flags) == 0
    ours, theirs = load(folder / f"beta-{beta}-seed-{seed}"), load(tmp_path / "own")
    assert_close(ours.state.params, theirs.state.params)
    assert_close(ours.state.opt_state, theirs.state.opt_state)
    key = jax.random.key_data
    np.testing.assert_array_equal(key(ours.state.key), key(theirs.state.key))
    data = dict(ours.settings["data"])
    assert data.pop("seed", 0) == 0
    assert ours.settings | {"data": data} == theirs.settings
    ours, theirs = (
        (path / "metrics.jsonl").read_text().splitlines()
        for path in (folder / f"beta-{beta}-seed-{seed}", tmp_path / "own")
    )
    for mine, other in zip(ours, theirs, strict=True):
        mine, other = json.loads(mine), json.loads(other)
        assert {"active_units", "collapsed", "loss"} <= mine.keys() <= other.keys()
        for name, value in mine.items():
            np.testing.assert_allclose(value, other[name], rtol=1e-4, atol=1e-6)
    if seed == 0:  # train goes on with it
        shutil.copytree(folder / f"beta-{beta}-seed-{seed}", tmp_path / "copy")
        for num_epochs in (2, 3):
            assert run("train", tmp_path / "copy", *flags[:-1], num_epochs) == 0
        assert run("train", tmp_path / "own", *flags[:-1], 3) == 0
        assert_close(params_of(tmp_path / "copy"), params_of(tmp_path / "own"))


def test_it_writes_what_it_found_of_every_run(done):
    folder, result = done
    told = json.loads((folder / "sweep.json").read_text())
    assert [one["name"] for one in told["runs"]] == NAMES
    assert result["num_runs"] == 4
    assert result["table"] == told["table"]
    values = [one["elbo"] for one in told["runs"]]
    assert len(set(values)) == 4
    for row, pair in zip(told["table"], (values[:2], values[2:]), strict=True):
        assert row["runs"] == 2
        assert row["mean"]["elbo"] == pytest.approx(np.mean(pair))
        assert row["standard_error"]["elbo"] == pytest.approx(
            np.std(pair, ddof=1) / math.sqrt(2)
        )
    assert (folder / "sweep.png").read_bytes()[:4] == b"\x89PNG"
    lines = (folder / "sweep.md").read_text().splitlines()
    assert lines[0].startswith("| beta | runs | ELBO | log p(x) |")
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| 0.5", "| 4"]
    log = (folder / NAMES[0] / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in log] == [1, 2]


def test_a_finished_sweep_is_printed_again(done, capsys, monkeypatch):
    folder, result = done
    monkeypatch.setattr(sweep, "_trained", None)  # nothing is trained
    assert run("sweep", folder, *PAIR, "--num-epochs", 2) == 0
    assert json.loads(capsys.readouterr().out) == result


def test_a_stopped_sweep_goes_on_where_it_was(done, tmp_path, monkeypatch, caplog):
    folder, _ = done
    train = sweep._trained
    monkeypatch.setattr(
        sweep, "_trained", lambda plan, signalled: train(plan, lambda: signal.SIGTERM)
    )
    flags = *PAIR, "--num-epochs", 2
    assert run("sweep", tmp_path / "new", *flags) == 75
    assert not (tmp_path / "new" / "sweep.json").exists()
    assert (tmp_path / "new" / "checkpoints" / "10").is_dir()  # within an epoch
    monkeypatch.setattr(sweep, "_trained", train)
    with jax.log_compiles():
        assert run("sweep", tmp_path / "new", *flags) == 0
    assert compiled(caplog) == 1  # for all members, and segments of all lengths
    for name in NAMES:
        shas = [
            vaejax.checkpoint.params_sha256(params_of(path / name))
            for path in (tmp_path / "new", folder)
        ]
        assert shas[0] == shas[1]
        log = (tmp_path / "new" / name / "metrics.jsonl").read_text().splitlines()
        assert [json.loads(line)["step"] for line in log] == [11, 22]


def test_a_run_that_diverges_leaves_the_others_be(tmp_path, capsys):
    flags = "--seeds", 1, "--beta", 1, 3e38, "--num-epochs", 3
    assert run("sweep", tmp_path / "new", *flags) == 0
    text = capsys.readouterr().err
    assert "beta-3e+38-seed-0: " in text
    assert text.count("were not taken") == 1
    told = json.loads((tmp_path / "new" / "sweep.json").read_text())
    assert [row["runs"] for row in told["table"]] == [1, 0]
    assert told["runs"][0]["diverged"] is None
    assert told["runs"][1]["diverged"]
    assert "elbo" in told["runs"][0]
    assert "elbo" not in told["runs"][1]
    assert (tmp_path / "new" / "sweep.md").read_text().splitlines()[3] == (
        "| 3e+38 | 0 |" + "  |" * 5
    )


def test_all_seeds_hold_out_the_same_images(tmp_path):
    images = vaejax.data.load("digits").train.image[:300]
    np.savez(tmp_path / "images.npz", image=images)
    flags = "--seeds", 2, "--dataset", f"npz:{tmp_path / 'images.npz'}"
    assert run("sweep", tmp_path / "new", *flags, "--num-epochs", 1) == 0
    hashes = set()
    for seed in (0, 1):
        folder = tmp_path / "new" / f"seed-{seed}"
        assert cli.main(["evaluate", "--workdir", str(folder)]) == 0
        hashes.add(load(folder).settings["data"]["validation_sha256"])
    assert len(hashes) == 1


def test_a_schedule_multiplies_each_beta(tmp_path):
    flags = "--num-epochs", 2, "--schedule", "linear", "--num-warmup-steps", 15
    assert run("sweep", tmp_path / "all", *flags, "--seeds", 1, "--beta", 1, 8) == 0
    assert run("train", tmp_path / "own", *flags, "--beta", 8) == 0
    ours, theirs = (
        params_of(path) for path in (tmp_path / "all/beta-8-seed-0", tmp_path / "own")
    )
    assert_close(ours, theirs)


def test_seeds_alone_need_no_beta(tmp_path):
    flags = "--seeds", 2, "--num-epochs", 1
    words = ["sweep", "ae", *TINY, "--workdir", tmp_path / "new", *flags]
    assert cli.main(list(map(str, words))) == 0
    told = json.loads((tmp_path / "new" / "sweep.json").read_text())
    assert [one["name"] for one in told["runs"]] == ["seed-0", "seed-1"]
    assert told["table"][0]["beta"] is None
    assert told["table"][0]["mean"]["distortion"] > 0
    assert told["table"][0]["mean"]["elbo"] is None


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--seeds", 0), "--seeds must be at least 1, got 0"),
        (("--beta", 1, 1.0), "--beta must be different numbers"),
        (("--beta", 1, -2), "--beta -2: beta must be at least 0"),
        (("--beta", 1, "--objective", "iwae"), "beta_tc, ciwae, elbo"),
        (("--seed", 2**32 - 1), "--seed must be from 0"),
        (("--num-at-once", 0), "--num-at-once must be at least 1"),
        (("--batch-size", 10**6), "--batch-size must be from 1"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(flags, words, tmp_path, capsys):
    assert run("sweep", tmp_path / "new", *flags) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_sweep_is_not_mistaken_for_a_run(done, capsys):
    folder, _ = done
    assert cli.main(["evaluate", "--workdir", str(folder)]) == 2
    assert f"{folder / NAMES[0]}" in capsys.readouterr().err
    assert run("sweep", folder, "--seeds", 3, "--num-epochs", 2) == 2
    assert "num_seeds: 2 there, 3 here" in capsys.readouterr().err
    assert cli.main(["evaluate", "--workdir", str(folder / NAMES[3])]) == 0


def members_and_runs(dtype, num_at_once, betas, seeds, num_steps, hidden=400):
    """The metrics of digits in one program, and of one run after the other.

    Returns:
      The losses of all segments, and the last parameters, twice.
    """
    images = vaejax.data.load("digits")
    model, objective, *_ = models.vae(
        (8, 8), network=functools.partial(vaejax.networks.mlp, hidden=[hidden])
    )
    recipe = models.Recipe(model, objective, {})
    optimizer = optax.adam(1e-3)

    def prepare(keys, x):
        return vaejax.data.binarize(keys, x, scale=16.0).astype(dtype)

    every = program(recipe, optimizer, 128, prepare, betas * seeds, num_at_once)
    data = jnp.asarray(images.train.image)
    keys = jax.random.split(jax.random.key(0), seeds)
    x = jnp.zeros((seeds, 10, 8, 8), dtype)

    def floats(leaf):
        return leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    states = jax.tree.map(floats, every.init(keys, x))
    index = jnp.arange(betas * seeds) % seeds
    states = jax.tree.map(lambda leaf: leaf[index], states)
    weights = jnp.repeat(0.125 * 2.0 ** jnp.arange(betas), seeds).astype(dtype)

    @jax.jit
    def one(state, beta, num):
        def step(state, x):
            objective = vaejax.watched(vaejax.objectives.elbo(beta=beta))
            return vaejax.train_step(model, objective, optimizer, state, x)

        return vaejax.train_epoch(
            step, 128, state, data=data, num_steps=num, prepare=prepare
        )

    alone = [member(states, i) for i in range(betas * seeds)]
    states, weights = every.place((states, weights))
    ours, theirs = [], []
    for start in range(0, num_steps, 9):
        num = jnp.int32(min(9, num_steps - start))
        states, metrics = every.epoch(states, {"beta": weights}, data, num)
        ours.append(np.asarray(metrics["loss"]))
        alone, told = zip(
            *(
                one(state, beta, num)
                for state, beta in zip(alone, weights, strict=True)
            ),
            strict=True,
        )
        theirs.append(np.asarray([t["loss"] for t in told]))
    alone = jax.tree.map(lambda *leaves: np.stack(leaves), *(s.params for s in alone))
    return (np.stack(ours), states.params), (np.stack(theirs), alone)


@pytest.mark.parametrize("num_at_once", [1, 2])
def test_together_is_one_after_the_other(num_at_once):
    got, expected = members_and_runs("float32", num_at_once, 2, 4, 20, hidden=16)
    np.testing.assert_allclose(got[0], expected[0], rtol=1e-5)
    assert_close(got[1], expected[1], 1e-4, 1e-5)
    assert len(np.unique(got[0][-1])) == 8


@pytest.mark.slow
@pytest.mark.parametrize("num_at_once", [1, 8])
def test_the_curve_of_8_betas_and_4_seeds_is_that_of_32_runs(num_at_once):
    got, expected = members_and_runs("float32", num_at_once, 8, 4, 100)
    np.testing.assert_allclose(got[0], expected[0], rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("num_at_once", [1, 8])
def test_in_float64_it_is_so_to_the_end(num_at_once):
    with jax.enable_x64(True):
        got, expected = members_and_runs("float64", num_at_once, 8, 4, 180, hidden=64)
        assert got[0].dtype == np.float64
        np.testing.assert_allclose(got[0], expected[0], rtol=1e-10)
        assert all(leaf.dtype == np.float64 for leaf in jax.tree.leaves(got[1]))
        assert_close(got[1], expected[1], 1e-7, 1e-9)


def test_a_table_has_the_mean_of_its_runs():
    found = [{"rate": 1.0}, {"rate": 4.0}, None, {"rate": None}]
    rows = curve.table_of([1.0, 1.0, 1.0, 2.0], found)
    assert [row.runs for row in rows] == [2, 1]
    assert rows[0].mean == {"rate": 2.5}
    assert rows[0].standard_error["rate"] == pytest.approx(1.5)
    assert rows[1].mean == {"rate": None}


def test_words_that_would_cover_each_other_share_a_line():
    at = np.array([[9.0, 1], [2, 6], [0, 9], [0.1, 9.1]])
    got = curve._together(at, ["1", "2", "4", "8"], np.array([0.3, 0.3]))
    assert got == [((9, 1), "1"), ((2, 6), "2"), ((0, 9), "4, 8")]


@pytest.mark.parametrize(
    ("mean", "error", "text"),
    [
        (1234.5678, 1.234, "1234.6 ± 1.2"),
        (0.02829, 0.00046, "0.02829 ± 0.00046"),
        (-25.4, 12.3, "-25 ± 12"),
        (20, 0.0, "20"),
        (3.14159, None, "3.142"),
        (None, None, ""),
    ],
)
def test_a_number_has_as_many_digits_as_its_error_knows(mean, error, text):
    assert curve._cell(mean, error) == text
