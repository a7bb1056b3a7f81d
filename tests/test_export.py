"""Programs that run without the model's code give the model's numbers."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

import vaejax
from vaejax import likelihoods, networks, posteriors, priors
from vaejax.export import export, programs

SHAPE, D, SIZES = (6, 5), 3, (1, 3, 128)
READER = """
import sys, pathlib, jax, numpy as np, safetensors.numpy
folder = pathlib.Path(sys.argv[1])
given = np.load(folder / "given.npz")
params = safetensors.numpy.load_file(folder / "params.safetensors")
load = lambda name: jax.export.deserialize(
    bytearray((folder / (name + ".jax")).read_bytes())).call
encode, decode, sample = map(load, ("encode", "decode", "sample"))
out = {}
for n in map(int, sys.argv[2:]):
    x, key = given["x"][:n], given["key"][:n]
    got = {"encode": encode(params, key, x), "sample": sample(params, key)}
    got["decode"] = decode(params, got["encode"]["sample"])
    for name, values in got.items():
        out |= {f"{name}/{k}/{n}": v for k, v in values.items()}
np.savez(folder / "got.npz", **out)
assert not [name for name in sys.modules if name.startswith(("vaejax", "flax"))]
"""


def mlp():
    return networks.mlp(hidden=(8,))


def convolutional():
    return networks.conv(channels=(4, 4), hidden=(8,))


def residual():
    return networks.residual(channels=(4, 4), hidden=(8,))


MODELS = {
    "mlp": (mlp, posteriors.diagonal_normal, priors.standard_normal),
    "conv": (convolutional, posteriors.diagonal_normal, priors.standard_normal),
    "residual": (residual, posteriors.point_mass, priors.standard_normal),
    "full": (mlp, posteriors.full_normal, priors.mixture),
    "iaf": (mlp, posteriors.iaf, priors.mixture),
}


def build(name):
    network, posterior, prior = MODELS[name]
    model = vaejax.latent_variable_model(
        posterior(network(), D), prior(D), likelihoods.bernoulli(network(), SHAPE)
    )
    key, x_key = jax.random.split(jax.random.key(0))
    x = jax.random.bernoulli(x_key, 0.5, (max(SIZES), *SHAPE)).astype(jnp.float32)
    return model, model.init(key, x), x


@pytest.mark.parametrize("name", MODELS)
def test_a_fresh_process_without_the_library_gives_the_models_numbers(name, tmp_path):
    model, params, x = build(name)
    export(tmp_path, model, params, x, platforms=("cpu", "cuda", "tpu"))
    data = np.random.default_rng(0).integers(2**32, size=(len(x), 2), dtype=np.uint32)
    np.savez(tmp_path / "given.npz", x=x, key=data)
    command = [sys.executable, "-c", READER, str(tmp_path), *map(str, SIZES)]
    subprocess.run(command, check=True, timeout=120, cwd=tmp_path)
    got = np.load(tmp_path / "got.npz")

    @jax.jit
    def expected(data, x):
        def keys():
            return jax.random.wrap_key_data(data, impl="threefry2x32")

        q, z = model.encode(params, x), model.prior(params).sample(keys())
        sample = q.sample(keys())
        out = {"encode/sample": sample, "sample/z": z}
        out["sample/mean"] = model.decode(params, z).mean()
        out["decode/mean"] = model.decode(params, sample).mean()
        if name != "iaf":
            out["encode/mean"] = q.mean()
        if name in ("mlp", "conv"):
            out["encode/scale"] = q.scale
        return out

    seen = set()
    for n in SIZES:
        for field, value in expected(data[:n], x[:n]).items():
            seen.add(f"{field}/{n}")
            np.testing.assert_allclose(
                got[f"{field}/{n}"], value, rtol=2e-5, atol=2e-6, err_msg=field
            )
    assert seen == set(got)


def test_the_manifest_says_what_goes_in_and_out(tmp_path):
    model, params, x = build("mlp")
    manifest = export(tmp_path, model, params, x, platforms=("cpu",))
    assert manifest["encode"]["inputs"] == [
        "params", "uint32[batch, 2]", "float32[batch, 6, 5]",
    ]  # fmt: skip
    assert manifest["decode"]["outputs"] == {"mean": "float32[batch, 6, 5]"}
    for name in ("encode", "decode", "sample"):
        size = (tmp_path / manifest[name]["file"]).stat().st_size
        assert manifest[name]["bytes"] == size


def test_a_platform_that_nobody_knows_is_refused():
    model, params, x = build("mlp")
    with pytest.raises(ValueError, match="cpu, cuda, rocm and tpu"):
        programs(model, params, x, platforms=("abacus",))


def test_parameters_are_an_argument_not_part_of_the_program(tmp_path):
    model, params, x = build("mlp")
    export(tmp_path, model, params, x, platforms=("cpu",))
    flat = safetensors.numpy.load_file(tmp_path / "params.safetensors")
    run = programs(model, params, x, platforms=("cpu",))["decode"].call
    other = {name: 2 * leaf for name, leaf in flat.items()}
    z = jnp.ones((2, D))
    doubled = model.decode(jax.tree.map(lambda a: 2 * a, params), z).mean()
    np.testing.assert_allclose(run(other, z)["mean"], doubled, rtol=1e-5)
