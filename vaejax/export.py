"""A model as programs that run without its code: `encode`, `decode` and `sample`.

Parameters are an argument, by the names of `export_params`: three programs share one
safetensors file, and parameters trained further need no new program. The batch is
symbolic. What comes out is a dictionary of arrays, so a reader needs only JAX:

    program = jax.export.deserialize(bytearray(open("decode.jax", "rb").read()))
    image = program.call(safetensors.numpy.load_file("params.safetensors"), z)["mean"]
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vaejax.base import Model, Params, X
from vaejax.distributions import Normal
from vaejax.models import unconditional
from vaejax.parameter_file import export_params, named_leaves, write_bytes

MANIFEST = "manifest.json"


def programs(
    model: Model,
    params: Params,
    x: X,
    *,
    platforms: Sequence[str] = ("cpu", "cuda", "tpu"),
) -> dict[str, jax.export.Exported]:
    """The programs, each for any batch size B and every platform.

    | program | takes | gives |
    |---|---|---|
    | encode | params, key `[B, 2]`, x | `sample`, and `mean` and `scale` if exact |
    | decode | params, z | `mean` of p(x given z) |
    | sample | params, key `[B, 2]` | `z` of the prior, `mean` of p(x given z) |

    A key is two uint32, any that are new: the data of a typed threefry key, one for
    each example. `scale`, a standard deviation, is there for a diagonal normal, `mean`
    of a posterior wherever it has a closed form; a flow has neither.

    Args:
      model: a `Model`.
      params: its parameters, or their shapes.
      x: a batch of it, for the shapes; the batch is the first axis of every array.
      platforms: any of cpu, cuda, rocm and tpu.

    Returns:
      The programs by name; the parameters they take are a dictionary by leaf path.

    Raises:
      ValueError: if a platform is unknown.
      TypeError: if the likelihood has no mean, the prior cannot be sampled, or the
        model waits for a condition.
    """
    model = unconditional(model, "An export")
    unknown = sorted(set(platforms) - {"cpu", "cuda", "rocm", "tpu"})
    if unknown or not platforms:
        raise ValueError(
            f"platforms must be some of cpu, cuda, rocm and tpu, got {[*platforms]}."
        )
    tree = jax.tree.structure(params)
    names = [name for name, _ in named_leaves(params)]
    (batch,) = jax.export.symbolic_shape("batch")

    def whole(flat: Mapping[str, jax.Array]) -> Params:
        return jax.tree.unflatten(tree, [flat[name] for name in names])

    def encode(flat: Mapping[str, jax.Array], key: jax.Array, x: X) -> dict[str, Any]:
        posterior: Any = model.encode(whole(flat), x)
        out = {"sample": posterior.sample(_typed(key))}
        if isinstance(posterior, Normal):
            loc = posterior.loc
            return out | {
                "mean": loc,
                "scale": jnp.broadcast_to(posterior.scale, loc.shape),
            }
        try:
            return out | {"mean": posterior.mean()}
        except TypeError:  # no closed form
            return out

    def decode(flat: Mapping[str, jax.Array], z: Any) -> dict[str, Any]:
        return {"mean": model.decode(whole(flat), z).mean()}

    def sample(flat: Mapping[str, jax.Array], key: jax.Array) -> dict[str, Any]:
        z = model.prior(whole(flat)).sample(_typed(key))
        return {"z": z} | decode(flat, z)

    flat = {n: jax.ShapeDtypeStruct(t.shape, t.dtype) for n, t in named_leaves(params)}
    key = jax.ShapeDtypeStruct((batch, 2), jnp.uint32)
    x = jax.tree.map(lambda a: jax.ShapeDtypeStruct((batch, *a.shape[1:]), a.dtype), x)

    def lowered(function: Callable[..., Any], *args: Any) -> jax.export.Exported:
        return jax.export.export(jax.jit(function), platforms=platforms)(flat, *args)

    with jax.debug_key_reuse(False):  # its masks want a batch of known size
        z = jax.eval_shape(encode, flat, key, x)["sample"]
        return {
            "encode": lowered(encode, key, x),
            "decode": lowered(decode, z),
            "sample": lowered(sample, key),
        }


def export(
    folder: str | Path,
    model: Model,
    params: Params,
    x: X,
    *,
    platforms: Sequence[str] = ("cpu", "cuda", "tpu"),
    notes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Writes `programs` and the parameters they take into a folder.

    `params.safetensors`, `encode.jax`, `decode.jax` and `sample.jax`, and last
    `manifest.json`: for each program what it takes and gives, its size and SHA-256.

    Args:
      folder: where; made if needed. Files of these names are replaced.
      model: a `Model`.
      params: its parameters.
      x: a batch of it, for the shapes.
      platforms: as in `programs`.
      notes: what else the manifest should say, anything JSON can hold.

    Returns:
      The manifest.

    Raises:
      ValueError: as `programs` and `export_params` do.
      TypeError: as `programs` does, or if JSON cannot hold the notes.
    """
    notes = dict(notes or {})
    json.dumps(notes)  # raises before any work
    made = programs(model, params, x, platforms=platforms)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    export_params(folder / "params.safetensors", params)
    described = {}
    for name, program in made.items():
        content = bytes(program.serialize())
        write_bytes(folder / f"{name}.jax", content)
        (_, *inputs), _ = jax.tree.unflatten(program.in_tree, program.in_avals)
        outputs = jax.tree.unflatten(program.out_tree, program.out_avals)
        described[name] = {
            "file": f"{name}.jax",
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "inputs": ["params", *jax.tree.map(_shape, inputs)],
            "outputs": jax.tree.map(_shape, outputs),
        }
    own = {"platforms": [*platforms], "jax": jax.__version__}
    manifest = notes | own | described
    text = json.dumps(manifest, indent=2) + "\n"
    write_bytes(folder / MANIFEST, text.encode())
    return manifest


def _typed(key: jax.Array) -> jax.Array:
    return jax.random.wrap_key_data(key, impl="threefry2x32")


def _shape(aval: Any) -> str:
    """As in `float32[batch, 28, 28]`."""
    return f"{np.dtype(aval.dtype).name}[{', '.join(map(str, aval.shape))}]"
