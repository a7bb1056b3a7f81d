"""A run that starts with the parameters of another."""

import json

import jax
import numpy as np
import pytest

import experiments
from experiments import cli

SMALL = "--dataset digits --latent-dim 2 --hidden 8 --num-epochs 1 --batch-size 512"


def train(words, folder):
    return cli.main(["train", "vae", *SMALL.split(), *words, "--workdir", str(folder)])


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "source"
    assert train([], folder) == 0
    return folder


@pytest.mark.slow
def test_another_objective_goes_on_from_the_parameters_of_a_run(source, tmp_path):
    own = tmp_path / "own"
    words = ["--objective", "iwae", "--num-particles", "2", "--learning-rate", "1e-12"]
    assert train([*words, "--start-from", str(source)], own) == 0
    there, here = (experiments.load(folder).state for folder in (source, own))
    for name in ("posterior", "prior", "likelihood"):
        pairs = zip(
            jax.tree.leaves(there.params[name]),
            jax.tree.leaves(here.params[name]),
            strict=True,
        )
        for a, b in pairs:
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-9)
    training = json.loads((own / "settings.json").read_text())["training"]
    result = json.loads((source / "result.json").read_text())
    assert training["start_from"] == result["params_sha256"]


@pytest.mark.slow
def test_it_compiles_its_epoch_once(source, tmp_path, caplog):
    """Parameters read from a disk lie elsewhere than new ones, if nobody takes care."""
    with jax.log_compiles():
        assert train(["--start-from", str(source)], tmp_path / "own") == 0
    text = "Finished XLA compilation of jit(train_epoch)"
    assert sum(text in record.getMessage() for record in caplog.records) == 1


def test_a_model_of_other_parameters_is_refused_by_the_first_that_differs(
    source, tmp_path, capsys
):
    words = ["--latent-dim", "3", "--start-from", str(source)]
    assert train(words, tmp_path / "own") == 2
    error = capsys.readouterr().err
    assert "the posterior of that run has other parameters" in error
    assert "head" in error
