"""The command line: flags from signatures, one JSON line, errors that help."""

import functools
import itertools
import json
import shutil
import sys
import time

import jax
import numpy as np
import optax
import pytest
from sklearn.datasets import load_digits

import experiments
import vaejax
from experiments import cli, encode, evaluate, parts, sample, scoring


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Two small npz files of one kind of picture: a bright square somewhere."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for name, num in (("F", 200), ("G", 30)):
        image, label = np.zeros((num, 6, 6), bool), rng.integers(0, 4, num)
        for i, place in enumerate(label):
            row, column = 3 * (place // 2), 3 * (place % 2)
            image[i, row : row + 3, column : column + 3] = rng.random((3, 3)) < 0.9
        np.savez(folder / f"{name}.npz", image=image, label=label)
    return folder


def call(capsys, *argv):
    """Exit code, the JSON of the last line, and what went to stderr."""
    code = cli.main([str(word) for word in argv])
    captured = capsys.readouterr()
    last = captured.out.strip().splitlines()[-1:] or ["null"]
    return code, json.loads(last[0]) if code == 0 else None, captured.err


SMALL = ("--hidden", 16, "--latent-dim", 3, "--batch-size", 20, "--binarize", "none")


def train(capsys, images, workdir, *flags, model="vae"):
    return call(
        capsys, "train", model, "--dataset", f"npz:{images}/F.npz",
        "--workdir", workdir, *SMALL, *flags,
    )  # fmt: skip


@pytest.fixture(scope="module")
def runs(images, tmp_path_factory):
    """A finished VAE and a finished AE."""
    folder = tmp_path_factory.mktemp("runs")
    for model in ("vae", "ae"):
        argv = ["train", model, "--dataset", f"npz:{images}/F.npz", "--num-epochs", "4"]
        argv += [str(word) for word in SMALL] + ["--workdir", str(folder / model)]
        assert cli.main(argv) == 0
    return folder


def test_train_reports_every_promised_field(capsys, images, tmp_path):
    code, result, _ = train(capsys, images, tmp_path / "run", "--num-epochs", 3)
    assert code == 0
    assert result["step"] == 27
    assert set(result) >= {
        "step", "loss", "elbo", "images_per_second", "compile_seconds",
        "params_sha256", "workdir",
    }  # fmt: skip
    assert len(result["params_sha256"]) == 64
    lines = (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3]
    assert json.loads(lines[-1])["loss"] == result["loss"]
    assert json.loads(lines[-1])["loss"] < json.loads(lines[0])["loss"]


def test_a_finished_run_prints_the_same_json_again_and_a_longer_one_goes_on(
    capsys, images, tmp_path
):
    _, first, _ = train(capsys, images, tmp_path / "a", "--num-epochs", 2)
    _, again, _ = train(capsys, images, tmp_path / "a", "--num-epochs", 2)
    assert again == first
    _, longer, _ = train(capsys, images, tmp_path / "a", "--num-epochs", 4)
    _, straight, _ = train(capsys, images, tmp_path / "b", "--num-epochs", 4)
    assert longer["params_sha256"] == straight["params_sha256"]
    assert (longer["step"], longer["loss"]) == (straight["step"], straight["loss"])
    first_log = (tmp_path / "a/metrics.jsonl").read_text()
    assert first_log == (tmp_path / "b/metrics.jsonl").read_text()


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--latent-dim", 4), "model.latent_dim: 3 there, 4 here"),
        (("--hidden", 8), "model.network.hidden: [16] there, [8] here"),
        (("--learning-rate", 0.1), "training.learning_rate"),
        (("--objective", "iwae"), "model.objective.name: 'elbo' there, 'iwae' here"),
        (("--seed", 1), "seed"),
        (("--num-epochs", 3), "num_epochs: 4 there, 3 here"),
    ],
)
def test_a_run_with_other_settings_is_refused(capsys, images, runs, flags, named):
    before = (runs / "vae/settings.json").read_text()
    flags = flags if "--num-epochs" in flags else ("--num-epochs", 4, *flags)
    code, _, err = train(capsys, images, runs / "vae", *flags)
    assert code == 2
    assert named in err
    assert "Traceback" not in err
    assert (runs / "vae/settings.json").read_text() == before


def test_a_run_on_other_data_is_refused(capsys, images, runs, tmp_path):
    arrays = dict(np.load(images / "F.npz"))
    arrays["image"][0, 0, 0] ^= True
    np.savez(tmp_path / "other.npz", **arrays)
    flags = ("--num-epochs", 4, "--dataset", f"npz:{tmp_path}/other.npz")
    code, _, err = train(capsys, images, runs / "vae", *flags)
    assert code == 2
    assert "sha256" in err


def test_a_schedule_fixes_the_length_of_a_run(capsys, images, tmp_path):
    flags = ("--learning-rate-schedule", "cosine", "--num-epochs")
    assert train(capsys, images, tmp_path, *flags, 1)[0] == 0
    code, _, err = train(capsys, images, tmp_path, *flags, 2)
    assert code == 2
    assert "schedule" in err


def test_evaluate_scores_every_image_of_a_file(capsys, images, runs):
    code, result, _ = call(
        capsys, "evaluate", "--workdir", runs / "vae",
        "--dataset", f"npz:{images}/G.npz", "--num-particles", 200,
    )  # fmt: skip
    assert code == 0
    assert set(result) >= {
        "elbo", "log_likelihood", "standard_error", "monte_carlo_error",
        "distortion", "rate", "num_images", "dataset",
    }  # fmt: skip
    assert result["num_images"] == 30
    assert result["log_likelihood"] > result["elbo"]
    np.testing.assert_allclose(
        result["elbo"], -result["distortion"] - result["rate"], rtol=1e-5
    )


def test_evaluate_says_whose_images_it_scored(capsys, runs):
    _, result, _ = call(
        capsys, "evaluate", "--workdir", runs / "vae", "--num-particles", 2
    )
    assert result["dataset"].endswith("(validation)")
    assert result["num_images"] == 20


def test_an_auto_encoder_has_a_distortion_and_nothing_else(capsys, runs):
    _, result, _ = call(capsys, "evaluate", "--workdir", runs / "ae")
    assert result["elbo"] is result["rate"] is result["log_likelihood"] is None
    assert result["distortion"] > 0


def test_an_auto_encoder_samples_only_from_codes_fitted_to_it(capsys, runs, tmp_path):
    out = tmp_path / "samples.png"
    flags = ("sample", "--workdir", runs / "ae", "--out", out)
    code, _, err = call(capsys, *flags)
    assert code == 2
    assert "choose another --sampler" in err
    fitted = ("--sampler", "gaussian_mixture", "--num-components", 2)
    code, result, _ = call(capsys, *flags, *fitted)
    assert code == 0
    assert result["sampler"]["num_components"] == 2
    assert out.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    "verb",
    [("sample", "--temperature", 0.5), ("reconstruct",), ("traverse",)],
)
@pytest.mark.parametrize("suffix", [".png", ".npz"])
def test_pictures_and_arrays_are_written(capsys, runs, tmp_path, verb, suffix):
    out = tmp_path / f"out{suffix}"
    assert call(capsys, *verb, "--workdir", runs / "vae", "--out", out)[0] == 0
    if suffix == ".npz":
        image = np.load(out)["image"]
        assert image.shape[-2:] == (6, 6)
        assert np.isfinite(image).all()
    else:
        assert out.read_bytes()[:4] == b"\x89PNG"


def test_encode_writes_codes_with_labels(capsys, images, runs, tmp_path):
    out, data = tmp_path / "codes.npz", f"npz:{images}/G.npz"
    argv = ("encode", "--workdir", runs / "vae", "--dataset", data, "--out", out)
    assert call(capsys, *argv)[0] == 0
    codes = np.load(out)
    run = experiments.load(runs / "vae")
    posterior = run.model.encode(run.state.params, np.load(images / "G.npz")["image"])
    np.testing.assert_allclose(codes["mean"], posterior.loc, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(codes["scale"], posterior.scale, rtol=1e-5)
    np.testing.assert_array_equal(codes["label"], np.load(images / "G.npz")["label"])


def test_a_script_gets_its_model_back(runs):
    model, state, settings = experiments.load(runs / "vae")
    assert int(state.step) == 4 * 9
    assert settings["model"]["rate"] == "analytic"
    assert model.decode(state.params, np.zeros((7, 3))).mean().shape == (7, 6, 6)


def test_grey_images_without_binarisation_have_no_likelihood(capsys, tmp_path):
    grey = np.random.default_rng(0).random((60, 4, 4)).astype(np.float32)
    np.savez(tmp_path / "grey.npz", image=grey)
    argv = ("--dataset", f"npz:{tmp_path}/grey.npz", "--workdir", tmp_path / "run")
    code, result, err = call(capsys, "train", "vae", *argv, *SMALL, "--num-epochs", 1)
    assert code == 0
    assert "warning" in err
    assert result["elbo"] is None
    _, scores, _ = call(capsys, "evaluate", "--workdir", tmp_path / "run")
    assert scores["elbo"] is scores["log_likelihood"] is None
    assert scores["rate"] > 0


def test_patience_keeps_the_best(capsys, images, tmp_path):
    flags = ("--num-epochs", 60, "--patience", 2, "--learning-rate", 0.05)
    code, result, _ = train(capsys, images, tmp_path, *flags)
    assert code == 0
    text = (tmp_path / "metrics.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    best = max(lines, key=lambda line: line["score"])
    assert len(lines) < 60
    assert len(lines) == best["epoch"] + 2
    assert result["step"] == best["step"]
    assert int(experiments.load(tmp_path).state.step) == best["step"]


@pytest.mark.parametrize(
    "flags",
    [
        ("--objective", "iwae", "--num-particles", 4),
        (
            *("--beta", 2.0, "--schedule", "linear", "--num-warmup-steps", 20),
            *("--rate", "sampled"),
        ),
        ("--likelihood", "normal", "--scale", "optimal"),
        ("--likelihood", "normal", "--scale", "0.5", "--optimizer", "sgd"),
        ("--weight-decay", 0.1, "--clip-norm", 1.0),
        ("--learning-rate-schedule", "linear"),
    ],
)
def test_parts_and_hyperparameters_are_flags(capsys, images, tmp_path, flags):
    code, result, err = train(capsys, images, tmp_path, "--num-epochs", 1, *flags)
    assert code == 0, err
    assert np.isfinite(result["loss"])
    settings = json.loads((tmp_path / "settings.json").read_text())
    text = json.dumps(settings)
    for flag in flags[::2]:
        assert f'"{flag[2:].replace("-", "_")}"' in text


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (["trian"], "Did you mean train"),
        (["train"], "ae, vae"),
        (["train", "vea"], "Did you mean vae"),
        (["train", "vae", "--workdr", "x"], "Did you mean --workdir"),
        (["train", "vae", "--laten-dim", "3"], "Did you mean --latent-dim"),
        (["train", "vae", "--objective", "ebo"], "Did you mean elbo"),
        (["train", "ae", "--beta", "3"], "objective elbo"),
        (["train", "vae", "--prior.hidden", "3"], "--prior.hidden"),
        (["train", "vae", "--objective"], "--objective needs one of"),
        (["train", "vae", "--hidden", "0"], "at least 1"),
        (["train", "vae", "--latent-dim", "0"], "latent_dim"),
        (["train", "vae", "--beta", "-1"], "beta must be at least 0"),
        (["train", "vae", "--batch-size", "100000"], "--batch-size"),
        (["train", "vae", "--num-epochs", "0"], "--num-epochs"),
        (["train", "vae", "--learning-rate", "-1"], "--learning-rate"),
        (["compare", "--learning-rate", "nan"], "--learning-rate must be positive"),
        (["conditional", "--learning-rate", "-1"], "--learning-rate must be positive"),
        (["semi_supervised", "--learning-rate", "0"], "--learning-rate must be"),
        (["train", "vae", "--patience", "0"], "--patience"),
        (["train", "vae", "--dataset", "digit"], "digits"),
        (["train", "vae", "--dataset", "npz:nowhere.npz"], "nowhere.npz"),
        (["train", "vae", "--objective", "iwae", "--rate", "sampled"], "--rate"),
        (
            [
                "train",
                "vae",
                "--objective",
                "iwae",
                "--schedule",
                "linear",
                "--num-warmup-steps",
                "9",
            ],
            "capacity or a beta",
        ),
        (["train", "vae", "--num-warmup-steps", "9"], "belongs to schedule linear"),
        (["train", "vae", "--posterior", "point_mass"], "objectives.reconstruction"),
        (
            ["train", "vae", "--posterior", "iaf", "--rate", "analytic"],
            "--rate sampled",
        ),
        (["train", "vae", "--prior", "flow", "--flow", "planar"], "forward only"),
        (["train", "vae", "--posterior", "planar", "--prior", "vamp"], "forward only"),
        (["train", "vae", "--max-cpu-seconds", "0"], "--max-cpu-seconds"),
        (["train", "vae", "--num-validation-particles", "0"], "--num-validation-p"),
        (
            ["table", "--train", "digits", "--validation", "digits", "--rows", "vea"],
            "--rows must be among vae, vae-seed",
        ),
        (["evaluate", "--workdir", "x", "--objective", "elbo"], "belongs to model vae"),
        (["evaluate", "--workdir", "nowhere"], "holds no run"),
        (["evaluate", "--workdir", "x", "--seed", "1"], "there is no flag --seed"),
        (["conditional", "--beta", "-1"], "beta must be at least 0"),
        (["semi_supervised", "--alpha", "-1"], "alpha must be at least 0"),
        (["semi_supervised", "--test-fraction", "2"], "--test-fraction must be"),
        (
            ["table", "--train", "digits", "--validation", "npz:missing.npz"],
            "missing.npz",
        ),
        (
            [
                "train",
                "vae",
                "--schedule",
                "cyclical",
                "--num-cycle-steps",
                "3000000000",
            ],
            "below 2^31",
        ),
        (["sample", "--workdir", "nowhere", "--out", "a.gif"], "--out must end in"),
        (["benchmark", "cnn"], "mlp"),
    ],
)
def test_bad_requests_are_errors_of_one_line_with_code_2(
    capsys, tmp_path, monkeypatch, argv, named
):
    monkeypatch.chdir(tmp_path)
    if argv[0] == "train" and "--workdr" not in argv:
        argv = [*argv, "--workdir", str(tmp_path / "run")] if len(argv) > 1 else argv
        if argv[-3:-2] == ["--objective"]:
            argv = argv[:-2]
    code, _, err = call(capsys, *argv)
    assert code == 2
    assert named in err
    assert err.startswith("error: ")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"model": 3}',
        '{"model": {}, "data": {}, "training": {}}',
        "9" * 2_000_000,
    ],
)
def test_damaged_settings_are_a_clear_error(capsys, tmp_path, text):
    (tmp_path / "settings.json").write_text(text)
    code, _, err = call(capsys, "evaluate", "--workdir", tmp_path)
    assert code == 2
    assert err.startswith("error: ")


def test_settings_cannot_name_what_is_no_part():
    for name in ("__import__", "latent_variable_model", 3):
        part = {"name": name}
        with pytest.raises(parts.UserError):
            parts.build("model", part)
    with pytest.raises(parts.UserError, match="no argument"):
        parts.build("objective", {"name": "elbo", "beta_": 1})


def test_every_verb_has_a_line_of_help(capsys):
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {verb} " in text for verb in cli.VERBS)


@pytest.mark.parametrize("verb", ["train", "evaluate", "sample", "traverse"])
def test_help_lists_the_flags(capsys, verb):
    with pytest.raises(SystemExit) as stop:
        cli.main([verb, "--help"])
    assert stop.value.code == 0
    assert "--workdir" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("dtype", "white"), [(np.uint8, 255), (np.float32, 1), (bool, 1)]
)
def test_the_same_images_score_the_same_whatever_their_type(
    capsys, images, tmp_path, dtype, white
):
    bits = np.load(images / "F.npz")["image"]
    np.savez(tmp_path / "u8.npz", image=bits.astype(np.uint8) * 255)
    np.savez(tmp_path / "same.npz", image=(bits * white).astype(dtype))
    argv = ("--dataset", f"npz:{tmp_path}/u8.npz", "--num-epochs", 1)
    argv = ("train", "vae", *argv, *SMALL, "--workdir", tmp_path / "run")
    assert call(capsys, *argv)[0] == 0
    scores = [
        call(capsys, "evaluate", "--workdir", tmp_path / "run", "--dataset", data)[1]
        for data in (f"npz:{tmp_path}/u8.npz", f"npz:{tmp_path}/same.npz")
    ]
    assert scores[0]["elbo"] == scores[1]["elbo"]


def test_the_keys_of_training_and_of_scoring_differ():
    init, *others = scoring.root_keys(7)
    zeros = np.zeros((1, 4), np.float32)
    network = vaejax.networks.mlp(hidden=())
    model = vaejax.latent_variable_model(
        vaejax.posteriors.diagonal_normal(network, 2),
        vaejax.priors.standard_normal(2),
        vaejax.likelihoods.bernoulli(network, (4,)),
    )
    objective = vaejax.objectives.elbo()
    state = vaejax.init_state(init, model, objective, optax.sgd(0.1), zeros)
    data = [jax.random.key_data(key).tolist() for key in (*others, state.key)]
    assert len(set(map(tuple, data))) == 5


@pytest.mark.slow
def test_validation_images_that_changed_are_noticed(capsys, images, tmp_path):
    held = np.load(images / "G.npz")["image"]
    np.savez(tmp_path / "V.npz", image=held)
    flags = ("--validation", f"npz:{tmp_path}/V.npz", "--num-epochs", 1)
    assert train(capsys, images, tmp_path / "run", *flags)[0] == 0
    assert call(capsys, "evaluate", "--workdir", tmp_path / "run")[0] == 0
    np.savez(tmp_path / "V.npz", image=~held)
    code, _, err = call(capsys, "evaluate", "--workdir", tmp_path / "run")
    assert code == 2
    assert "the validation images" in err


def test_codes_drawn_from_a_fitted_gaussian_spread_as_the_codes_do(runs):
    run = experiments.load(runs / "vae")
    data = evaluate.training_data(run)
    mean, scale = encode.codes_of(run, data.train.image, data.scale)
    normal = functools.partial(vaejax.samplers.gaussian_mixture, num_components=1)
    z = sample.draw(run, normal, 20_000, 0)
    expected = mean.var(axis=0, ddof=1) + (scale**2).mean(axis=0)
    np.testing.assert_allclose(z.var(axis=0), expected, rtol=0.07)  # 7 errors of 1 %


@pytest.mark.slow
def test_a_run_that_diverges_stops_and_keeps_nothing_of_it(capsys, images, tmp_path):
    flags = ("--learning-rate", 1e30, "--num-epochs", 2)
    code, _, err = train(capsys, images, tmp_path, *flags)
    assert code == 2
    assert "lower --learning-rate" in err
    assert not list((tmp_path / "checkpoints").glob("[0-9]*"))
    assert "NaN" not in (tmp_path / "metrics.jsonl").read_text()
    flags = ("--learning-rate", 1e-3, "--num-epochs", 2)
    assert train(capsys, images, tmp_path, *flags)[0] == 0  # nothing was lost


def test_a_run_killed_while_it_wrote_its_settings_can_be_started(
    capsys, images, tmp_path
):
    (tmp_path / ".settings.json.123").write_text('{"mod')
    assert train(capsys, images, tmp_path, "--num-epochs", 1)[0] == 0
    assert not list(tmp_path.glob(".settings*"))


@pytest.mark.parametrize(
    "pattern", ["d/*", "_METADATA", "ocdbt.process_0/**/*", "manifest.ocdbt"]
)
def test_the_only_checkpoint_is_damaged(capsys, images, runs, tmp_path, pattern):
    shutil.copytree(runs / "vae", tmp_path / "run")
    checkpoints = tmp_path / "run/checkpoints"
    path = next(p for p in checkpoints.glob(f"36/state/{pattern}") if p.is_file())
    path.write_bytes(b"rubbish")
    code, _, err = call(capsys, "evaluate", "--workdir", tmp_path / "run")
    assert (code, f"{path.relative_to(checkpoints / '36')} is damaged" in err) == (2, 1)
    with pytest.warns(UserWarning, match=f"Checkpoint 36 .*{path.name} is damaged"):
        code, _, err = train(capsys, images, tmp_path / "run", "--num-epochs", 6)
    assert (code, "damaged-36" in err) == (2, True)


def test_looking_at_a_run_changes_nothing_in_it(capsys, runs, tmp_path):
    shutil.copytree(runs / "vae", tmp_path / "run")
    writing = tmp_path / "run/checkpoints/45.orbax-checkpoint-tmp"
    writing.mkdir()
    before = sorted(str(p) for p in (tmp_path / "run").rglob("*"))
    assert call(capsys, "sample", "--workdir", tmp_path / "run", "--out",
                tmp_path / "s.png")[0] == 0  # fmt: skip
    assert sorted(str(p) for p in (tmp_path / "run").rglob("*")) == before


@pytest.mark.parametrize("seed", ["-1", "99999999999999999999"])
def test_a_seed_out_of_range_is_an_error(capsys, images, tmp_path, seed):
    code, _, err = train(capsys, images, tmp_path / "run", "--seed", seed)
    assert code == 2
    assert "--seed" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "flags",
    [
        ("--learning-rate", "nan"),
        ("--hidden", "0"),
        ("--seed", "-1"),
        ("--workdir", "/proc/nowhere"),
    ],
)
def test_compare_refuses_before_it_trains(capsys, tmp_path, flags):
    code, _, err = call(capsys, "compare", "--workdir", tmp_path / "run", *flags)
    assert code == 2
    assert err.startswith("error: ")


def test_a_run_that_names_code_from_outside_is_read_by_permission_only(
    capsys, runs, tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "stranger.py").write_text(
        "from vaejax import objectives\n\n\ndef mine():\n    return objectives.elbo()\n"
    )
    shutil.copytree(runs / "vae", tmp_path / "run")
    settings = json.loads((tmp_path / "run/settings.json").read_text())
    settings["model"] |= {"objective": {"name": "stranger:mine"}, "rate": "auto"}
    (tmp_path / "run/settings.json").write_text(json.dumps(settings))
    for verb in ("evaluate", "encode", "sample", "reconstruct", "traverse"):
        code, _, err = call(capsys, verb, "--workdir", tmp_path / "run")
        assert code == 2
        assert "repeat --objective stranger:mine" in err
    assert "stranger" not in sys.modules
    flags = ("--objective", "stranger:mine", "--num-particles", 2)
    code, _, err = call(capsys, "evaluate", "--workdir", tmp_path / "run", *flags)
    assert code == 0, err
    del sys.modules["stranger"]


def test_a_deterministic_encoder_whose_codes_meet_the_prior(capsys, images, tmp_path):
    flags = ("--posterior", "point_mass", "--objective", "wae_mmd", "--num-epochs", 1)
    code, result, err = train(capsys, images, tmp_path / "run", *flags)
    assert code == 0, err
    assert result["elbo"] is None
    _, scores, _ = call(capsys, "evaluate", "--workdir", tmp_path / "run")
    assert scores["elbo"] is scores["log_likelihood"] is scores["rate"] is None
    np.testing.assert_allclose(scores["distortion"], result["distortion"], rtol=1e-4)
    out = ("--out", tmp_path / "samples.npz")
    assert call(capsys, "sample", "--workdir", tmp_path / "run", *out)[0] == 0


def test_a_limit_of_time_ends_a_run_within_an_epoch_and_scores_it(
    capsys, images, tmp_path, monkeypatch
):
    ticks = itertools.count()  # a clock that jumps beyond the limit whenever it is read
    monkeypatch.setattr(time, "process_time", lambda: float(next(ticks)))
    flags = ("--max-cpu-seconds", 1e-3, "--patience", 3, "--batch-size", 10)
    flags += ("--num-validation-particles", 4)
    code, result, err = train(capsys, images, tmp_path, *flags)
    assert code == 0, err
    assert result["num_steps"] == result["step"] == 10  # of the 18 of an epoch
    (line,) = (tmp_path / "metrics.jsonl").read_text().splitlines()
    line = json.loads(line)
    assert (line["step"], line["epoch"]) == (10, 1)
    assert line["loss"] == result["loss"]
    assert line["score"] > line["validation_elbo"]  # by 4 particles
    assert train(capsys, images, tmp_path, *flags)[1] == result


@pytest.mark.slow
def test_what_comes_of_parts_that_know_the_data(capsys, images, tmp_path):
    flags = ("--objective", "beta_tc", "--prior", "vamp", "--num-components", 4)
    flags += ("--num-epochs", 1, "--optimizer", "sgd", "--learning-rate", 1e-12)
    code, _, err = train(capsys, images, tmp_path, *flags)
    assert code == 0, err
    run = experiments.load(tmp_path)
    assert run.settings["model"]["objective"]["num_examples"] == 180
    data = evaluate.training_data(run).train.image
    start = np.asarray(run.state.params["prior"]["pseudo_inputs"])
    nearest = np.abs(start[:, None] - data).max(axis=(2, 3)).min(axis=1)
    assert nearest.max() < 0.05  # of some image, in each of its pixels


@pytest.mark.slow
def test_the_line_of_the_issue_trains_is_scored_and_sampled(capsys, tmp_path):
    image = load_digits().images[:120].astype(np.float32) / 16
    np.savez(tmp_path / "digits.npz", image=image)
    code, result, err = call(
        capsys, "train", "vae", "--objective", "iwae", "--num-particles", 3,
        "--prior", "vamp", "--num-components", 20, "--posterior", "iaf",
        "--likelihood", "discretized_logistic", "--num-levels", 17,
        "--network", "conv", "--channels", 4, 4, "--latent-dim", 3,
        "--dataset", f"npz:{tmp_path}/digits.npz", "--batch-size", 36,
        "--num-epochs", 1, "--workdir", tmp_path / "run",
    )  # fmt: skip
    assert code == 0, err
    assert np.isfinite(result["elbo"])
    scores = call(
        capsys, "evaluate", "--workdir", tmp_path / "run", "--num-particles", 10
    )[1]
    assert scores["log_likelihood"] > scores["elbo"]
    for verb in ("sample", "encode"):
        out = tmp_path / f"{verb}.npz"
        assert call(capsys, verb, "--workdir", tmp_path / "run", "--out", out)[0] == 0
        for array in np.load(out).values():
            assert np.isfinite(array).all()
