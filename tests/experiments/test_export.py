"""The verb `export`: a run in a folder without the library."""

import json

import jax
import numpy as np
import safetensors.numpy

import experiments
from experiments import cli
from vaejax.checkpoint import params_sha256
from vaejax.parameter_file import import_params


def test_a_run_becomes_a_folder_that_gives_its_numbers(tmp_path, capsys):
    image = np.random.default_rng(0).random((40, 4, 4)) < 0.5
    np.savez(tmp_path / "F.npz", image=image)
    run, out = str(tmp_path / "run"), tmp_path / "out"
    flags = ["--dataset", f"npz:{tmp_path}/F.npz", "--hidden", "8", "--latent-dim", "2"]
    flags += ["--batch-size", "20", "--num-epochs", "1", "--workdir", run]
    assert cli.main(["train", "vae", *flags]) == 0
    argv = ["export", "--workdir", run, "--out", str(out), "--platforms", "cpu"]
    assert cli.main(argv) == 0, capsys.readouterr().err
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result == {"out": str(out), "platforms": ["cpu"], "prior_was_trained": True}

    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["prior_was_trained"] is True  # for whoever has the folder alone

    trained = experiments.load(run)
    params = trained.state.params
    back = import_params(out / "params.safetensors", params)
    assert params_sha256(back) == params_sha256(params)
    flat = safetensors.numpy.load_file(out / "params.safetensors")
    content = bytearray((out / "decode.jax").read_bytes())
    z = np.ones((5, 2), np.float32)
    got = jax.export.deserialize(content).call(flat, z)["mean"]
    expected = trained.model.decode(params, z).mean()
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)

    assert cli.main([*argv[:-1], "abacus"]) == 2
    assert "cpu, cuda, rocm and tpu" in capsys.readouterr().err
    assert cli.main([*argv[:3], "--out", str(tmp_path / "F.npz")]) == 2
    assert "--out" in capsys.readouterr().err
