"""`evaluate --all`, `anomalies` and `classifier`, on tiny runs."""

import hashlib
import json

import jax
import numpy as np
import pytest

from experiments import cli
from experiments.classifier import features_of
from experiments.evaluation import everything, latents, samples
from experiments.evaluation.subject import NotMeasuredError, subject_of
from experiments.workdir import load
from tests.html_page import Page
from vaejax.checkpoint import import_params, params_sha256

NUM = 50  # images looked at


def call(capsys, *argv):
    """Exit code, the JSON of the last line, and what went to stderr."""
    code = cli.main([str(word) for word in argv])
    captured = capsys.readouterr()
    last = captured.out.strip().splitlines()[-1:] or ["null"]
    return code, json.loads(last[0]) if code == 0 else None, captured.err


@pytest.fixture(scope="module", autouse=True)
def _fast_compilation():
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images of a bright square somewhere, of dark ones, and a VAE and an AE."""
    folder, rng = tmp_path_factory.mktemp("evaluation"), np.random.default_rng(0)
    label = rng.integers(0, 4, 400)
    image = np.zeros((400, 6, 6), bool)
    for i, place in enumerate(label):
        row, column = 3 * (place // 2), 3 * (place % 2)
        image[i, row : row + 3, column : column + 3] = rng.random((3, 3)) < 0.9
    np.savez(folder / "F.npz", image=image, label=label)
    np.savez(folder / "bare.npz", image=image)
    np.savez(folder / "far.npz", image=rng.random((60, 6, 6)) < 0.5)
    trained(folder, "vae", "F")
    trained(folder, "ae", "F")
    return folder


def trained(folder, model, name):
    """A tiny run in a folder of both names."""
    argv = ["train", model, "--dataset", f"npz:{folder}/{name}.npz", "--hidden", "16"]
    argv += ["--latent-dim", "3", "--batch-size", "20", "--binarize", "none"]
    argv += ["--num-epochs", "4", "--learning-rate", "0.01"]
    assert cli.main([*argv, "--workdir", str(folder / (model + name))]) == 0


def everything_of(folder, run):
    out = folder / f"out_{run}"
    argv = ["evaluate", "--all", "--workdir", folder / run, "--out", out]
    argv += ["--num-particles", 30, "--num-images", NUM]
    assert cli.main([str(word) for word in argv]) == 0
    return out


@pytest.fixture(scope="module")
def of_vae(folder):
    return everything_of(folder, "vaeF")


def parts_of(out):
    """The parts of a strict JSON file."""

    def refuse(word):
        raise ValueError(word)

    text = (out / "evaluation.json").read_text(encoding="utf-8")
    result = json.loads(text, parse_constant=refuse)
    assert list(result["parts"]) == list(everything.PARTS)
    assert not any(part["failed"] for part in result["parts"].values())
    return {name: (p["values"], p["reason"]) for name, p in result["parts"].items()}


def files(folder):
    return {
        path: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_of_a_vae_all_but_the_factors_is_measured(of_vae):
    parts = parts_of(of_vae)
    left_out = {name for name, (values, _) in parts.items() if values is None}
    assert left_out == {"disentanglement"}
    assert "sprites" in parts["disentanglement"][1]
    likelihood = parts["likelihood"][0]
    assert likelihood["elbo"]["value"] < likelihood["log_likelihood"]["value"]
    assert likelihood["elbo"]["standard_error"] > 0
    bits = -likelihood["log_likelihood"]["value"] / (36 * np.log(2))
    assert likelihood["bits_per_dimension"]["value"] == pytest.approx(bits)
    total = sum(parts["rate_per_dimension"][0]["rate_per_dimension"]["value"])
    assert total == pytest.approx(likelihood["rate"]["value"], abs=0.2)
    assert np.shape(parts["calibration"][0]["histogram"]) == (3, 16)
    assert parts["latent_structure"][0]["probe_accuracy"]["value"] > 0.8


def test_all_gives_the_likelihood_that_evaluate_prints(capsys, folder, of_vae):
    """Where it looks at all images: 40 are held out of 400."""
    _, scores, _ = call(
        capsys, "evaluate", "--workdir", folder / "vaeF", "--num-particles", 30
    )
    got = parts_of(of_vae)["likelihood"][0]
    assert scores["num_images"] == 40
    assert got["log_likelihood"]["value"] == pytest.approx(scores["log_likelihood"])
    assert got["log_likelihood"]["standard_error"] == pytest.approx(
        scores["standard_error"]
    )
    assert got["monte_carlo_error"] == pytest.approx(scores["monte_carlo_error"])


def test_beside_each_distance_are_the_hash_and_the_accuracy_of_its_features(
    capsys, folder, of_vae, tmp_path
):
    quality = parts_of(of_vae)["sample_quality"][0]
    features_of.cache_clear()
    file = tmp_path / "c.safetensors"
    _, made, _ = call(
        capsys, "classifier", "--dataset", f"npz:{folder}/F.npz", "--out", file
    )
    assert made["accuracy"] > 0.8
    for kind in ("samples", "training_images"):
        for name, value in quality[kind].items():
            if value is not None:
                assert value["features_sha256"] == made["sha256"], name
                assert value["features_accuracy"] == made["accuracy"], name
    like = features_of(f"npz:{folder}/F.npz", None, 0).params
    assert params_sha256(import_params(file, like)) == made["sha256"]


def test_held_out_images_given_as_samples_are_perfect_and_training_ones_copies(
    folder, monkeypatch
):
    run = load(folder / "vaeF")
    subject = subject_of(run, None, None, NUM, 10, ())

    def judged(images):
        monkeypatch.setattr(samples, "drawn", lambda key, s, num: images.picture[:num])
        return samples.quality(jax.random.key(0), subject)["samples"]

    got = judged(subject.held_out)
    for name in ("precision", "recall", "coverage"):
        assert got[name]["value"] == 1
    near = got["nearest_training_image_of_held_out"]
    assert got["nearest_training_image"] == near
    assert near["value"] > 0
    assert got["two_sample_p_value"]["value"] > 0.9
    assert judged(subject.train)["nearest_training_image"]["value"] == 0


def test_the_page_is_well_formed_needs_no_other_file_and_shows_the_figures(of_vae):
    page = Page()
    page.feed((of_vae / "evaluation.html").read_text(encoding="utf-8"))
    assert page.open == []
    assert "script" not in page.tags
    assert all(source.startswith(("data:", "#")) for source in page.sources)
    assert sum(source.startswith("data:image/png") for source in page.sources) == 5
    text = " ".join(page.words)
    likelihood = parts_of(of_vae)["likelihood"][0]["log_likelihood"]
    error = likelihood["standard_error"]
    assert 0.1 < error < 1  # of which two digits are shown
    assert f"{-likelihood['value']:.2f}\xa0±\xa0{error:.2f} nats" in text
    sha256 = parts_of(of_vae)["sample_quality"][0]["features"]["sha256"]
    assert sha256 in text
    assert text.count(f"{sha256[:12]} (") >= 8  # beside each number


def test_of_a_deterministic_auto_encoder_it_says_what_there_is_not(folder):
    before = files(folder / "aeF")
    parts = parts_of(everything_of(folder, "aeF"))
    assert files(folder / "aeF") == before
    assert parts["distortion"][0]["distortion"]["value"] > 0
    for name in ("likelihood", "decomposition", "inference_gap", "rate_per_dimension"):
        assert parts[name][0] is None
        assert "PointMass" in parts[name][1]
    for name in ("calibration", "sample_quality"):
        assert "took no part in the training" in parts[name][1]
    assert parts["active_units"][0]["num_dimensions"] == 3
    assert parts["latent_structure"][0]["neighbors_accuracy"]["value"] > 0.8


@pytest.mark.slow
def test_without_labels_features_are_pixels_and_two_runs_write_the_same(folder):
    trained(folder, "vae", "bare")
    out = everything_of(folder, "vaebare")
    parts, before = parts_of(out), files(out)
    assert "no labels" in parts["latent_structure"][1]
    quality = parts["sample_quality"][0]
    assert quality["features"]["kind"] == "pixels"
    assert quality["samples"]["kernel_distance"]["features_sha256"] is None
    everything_of(folder, "vaebare")
    assert files(out) == before


def test_a_part_that_fails_does_not_take_the_others_with_it(
    folder, tmp_path, monkeypatch, capsys
):
    def left_out(key, subject):
        raise NotMeasuredError("not asked")

    def fails(key, subject):
        raise RuntimeError("a broken part")

    whole = dict.fromkeys(everything.PARTS, left_out)
    whole["distortion"] = everything.PARTS["distortion"]
    monkeypatch.setattr(everything, "PARTS", whole | {"calibration": fails})
    argv = ["evaluate", "--all", "--workdir", folder / "vaeF", "--out", tmp_path]
    with pytest.raises(ExceptionGroup, match="calibration failed"):
        cli.main([str(word) for word in argv])
    parts = json.loads((tmp_path / "evaluation.json").read_text())["parts"]
    assert parts["distortion"]["values"]["distortion"]["value"] > 0
    assert parts["calibration"]["failed"]
    assert "a broken part" in parts["calibration"]["reason"]
    assert "a broken part" in (tmp_path / "evaluation.html").read_text()


def test_an_error_that_cannot_be_estimated_is_null(folder, tmp_path, monkeypatch):
    def left_out(key, subject):
        raise NotMeasuredError("not asked")

    def of_a_rare_class(key, subject):
        images = subject.held_out
        rare = images._replace(label=(np.arange(len(images.x)) == 0).astype(int))
        return latents.structure(key, subject._replace(held_out=rare))

    whole = dict.fromkeys(everything.PARTS, left_out)
    monkeypatch.setattr(
        everything, "PARTS", whole | {"latent_structure": of_a_rare_class}
    )
    argv = ["evaluate", "--all", "--workdir", folder / "vaeF", "--out", tmp_path]
    assert cli.main([str(word) for word in argv]) == 0
    silhouette = parts_of(tmp_path)["latent_structure"][0]["silhouette"]
    assert -1 < silhouette["value"] < 1
    assert silhouette["standard_error"] is None


@pytest.mark.slow
def test_outliers_are_told_apart_and_the_same_images_by_no_score(
    capsys, folder, tmp_path
):
    flags = ("--num-particles", 20, "--num-steps", 20)
    runs = ("--workdir", folder / "vaeF", "--baseline", folder / "aeF")
    argv = ("anomalies", *runs, *flags, "--dataset", f"npz:{folder}/F.npz")
    out = tmp_path / "a.json"
    far = ("--outliers", f"npz:{folder}/far.npz", "--num-images", 60, "--out", out)
    code, result, _ = call(capsys, *argv, *far)
    assert code == 0
    assert json.loads(out.read_text()) == result
    scores = result["auroc"]
    assert set(scores) >= {
        "negative_elbo", "negative_log_likelihood", "likelihood_regret",
        "complexity_corrected", "latent_distance", "baseline_distortion",
    }  # fmt: skip
    for name in ("negative_elbo", "negative_log_likelihood", "baseline_distortion"):
        assert scores[name]["value"] > 0.95, name
        assert 0 <= scores[name]["standard_error"] < 0.05
    same = ("--outliers", f"npz:{folder}/F.npz", "--num-images", 60)
    _, result, _ = call(capsys, *argv, *same)
    for name, score in result["auroc"].items():
        assert score["value"] == pytest.approx(0.5, abs=1e-9), name


def test_of_an_auto_encoder_there_is_the_reconstruction_error_alone(capsys, folder):
    _, result, _ = call(
        capsys, "anomalies", "--workdir", folder / "aeF", "--outliers",
        f"npz:{folder}/far.npz", "--num-steps", 5,
    )  # fmt: skip
    scores = result["auroc"]
    assert not result["is_likelihood"]
    assert scores["distortion"]["value"] > 0.95
    for name in ("negative_elbo", "complexity_corrected", "likelihood_regret"):
        assert scores[name]["value"] is None
        assert "PointMass" in scores[name]["reason"]


def test_training_images_too_few_for_a_distance_leave_the_other_scores(
    capsys, folder, monkeypatch
):
    monkeypatch.setattr("experiments.anomalies.NUM_TRAIN", 3)  # of 3 dimensions
    code, result, _ = call(
        capsys, "anomalies", "--workdir", folder / "vaeF", "--outliers",
        f"npz:{folder}/far.npz", "--num-steps", 1, "--num-particles", 2,
        "--num-images", 5,
    )  # fmt: skip
    assert code == 0
    lacking = {name for name, s in result["auroc"].items() if s["value"] is None}
    assert lacking == {"latent_distance"}
    assert "3 training examples" in result["auroc"]["latent_distance"]["reason"]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("evaluate", "--out", "x"), "--out is where --all writes"),
        (("evaluate", "--all", "--num-images", 1), "--num-images must be at least 2"),
        (("anomalies", "--outliers", "digits"), "images of shape (8, 8)"),
        (("anomalies", "--outliers", "digits", "--num-steps", 0), "--num-steps must"),
        (("anomalies", "--outliers", "digits", "--out", "x"), "must end in .json"),
    ],
)
def test_what_cannot_be_done_is_refused_before_any_work(capsys, folder, argv, words):
    code, _, err = call(capsys, *argv, "--workdir", folder / "vaeF")
    assert code == 2
    assert words in err


def test_a_classifier_needs_labels(capsys, folder, tmp_path):
    out = tmp_path / "c.safetensors"
    argv = ("classifier", "--dataset", f"npz:{folder}/bare.npz", "--out", out)
    code, _, err = call(capsys, *argv)
    assert code == 2
    assert "with labels" in err
    assert not out.exists()
