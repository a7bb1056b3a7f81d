"""What better parts give: one table, each row against the first, image by image.

    python -m experiments table --train npz:F.npz --validation npz:G.npz --workdir D

Every row is a run of `train vae` in a folder of its own, with the same networks,
optimizer, budget of CPU time and early stopping on images held out of training. A step
with 50 particles costs ten plain ones, although one of them alone goes backward, so
IWAE goes on from a VAE that has had three quarters of the budget: its gain comes in a
thousand steps. Then the same images, with the same noise, are scored under each. What
is finished is read back, so a stopped table goes on where it was.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import vaejax
from experiments import cli
from experiments.errors import UserError
from experiments.evaluate import has_likelihood, images_of
from experiments.loop import say
from experiments.scoring import check_seed, error, mean, prepare_of, root_keys
from experiments.train import train as train_run
from experiments.workdir import load, read_json, write_json, write_text


class Row(NamedTuple):
    """A line of the table."""

    name: str  # of its folder
    label: str
    flags: str  # of `train vae`, besides those that all rows share
    seed: int = 0  # added to the seed of the table
    first: str | None = None  # flags of a run it starts from


IWAE = "--objective iwae --num-particles 50 --gradient resampled"
VAMP = "--prior vamp --prior.num-components 500"
ROWS = (
    Row("vae", "VAE", ""),
    Row("vae-seed", "VAE, second seed", "", seed=1),
    Row("iwae", "IWAE-50, after a VAE", IWAE, first=""),
    Row("vamp", "VAE + VampPrior (500)", VAMP),
    Row("iaf", "VAE + IAF posterior", "--posterior iaf"),
    Row("flow", "VAE + flow prior", "--prior flow"),
    Row(
        "vamp-iwae",
        "VAE + VampPrior (500), then IWAE-50",
        f"{IWAE} {VAMP}",
        first=VAMP,
    ),
)
NAMES = tuple(row.name for row in ROWS)
FIRST = 0.75  # of the budget of a row is for the run it starts from
SHARED = (  # flags of `table` that are those of `train`
    "data_dir",
    "latent_dim",
    "learning_rate",
    "batch_size",
    "validation_fraction",
    "num_validation_particles",
    "patience",
    "num_epochs",
    "max_cpu_seconds",
)
SCORES, ARRAYS = "scores.json", "scores.npz"  # in the folder of a row, beside its run


def table(
    *,
    train: str,
    validation: str,
    workdir: str = "runs/table",
    data_dir: str | None = None,
    rows: tuple[str, ...] = NAMES,
    hidden: tuple[int, ...] = (400,),
    latent_dim: int = 20,
    learning_rate: float = 1e-3,
    batch_size: int = 128,
    validation_fraction: float = 0.1,
    num_validation_particles: int = 16,
    patience: int = 15,
    num_epochs: int = 1000,
    max_cpu_seconds: float = 400.0,
    num_images: int = 1000,
    num_particles: int = 5000,
    seed: int = 0,
) -> dict[str, Any]:
    """Trains VAEs of several parts on the same data and compares them by log p(x).

    Writes table.json and table.md.

    Args:
      train: the training images, a dataset as in train.
      validation: the images to report on; no run sees them in training.
      workdir: where the runs and the table go.
      data_dir: where the files of these datasets lie, as in train.
      rows: which rows to train now, by the names of their folders: vae, vae-seed, iwae,
        vamp, iaf, flow, vamp-iwae. The table has all that are finished.
      hidden: widths of the encoder and of the decoder, multilayer perceptrons.
      latent_dim: how many numbers describe an image.
      learning_rate: of Adam.
      batch_size: images per step.
      validation_fraction: share of the training images held out, to stop early by.
      num_validation_particles: posterior samples for each of them: the score to stop by
        is a bound on log p(x) in every row, also in those that do not train the ELBO.
      patience: stop a row after so many epochs without a better score; the best stays.
      num_epochs: at most.
      max_cpu_seconds: of training each row, all threads added up; the default leaves
        room for the last scores within 7 minutes.
      num_images: of the images to report on, spread evenly over the file.
      num_particles: posterior samples per image for the reported log p(x).
      seed: of everything random; the second seed is the next.
    """
    arguments = dict(locals())
    check_seed(seed)
    check_seed(seed + 1)
    if unknown := [name for name in rows if name not in NAMES]:
        raise UserError(f"--rows must be among {', '.join(NAMES)}; got {unknown[0]}.")
    if min(num_images, num_particles) < 2:
        raise UserError("--num-images and --num-particles must be at least 2.")
    vaejax.data.load(train, data_dir=data_dir, validation_fraction=validation_fraction)
    found = vaejax.data.load(validation, data_dir=data_dir, validation_fraction=0)
    if len(found.train.image) < num_images:
        raise UserError(
            f"--num-images must be at most {len(found.train.image)}, the images of "
            f"{validation}; got {num_images}."
        )
    lines: list[dict[str, Any]] = []
    first: dict[str, np.ndarray] | None = None
    for row in ROWS:
        folder = Path(workdir) / row.name
        if row.name not in rows and not (folder / SCORES).exists():
            continue
        result = _trained(row, folder, arguments)
        values = _scores(folder, arguments)
        first = values if row is ROWS[0] else first
        lines.append(_line(row, result, values, first))
        say(_markdown(lines))
        write_json(
            Path(workdir) / "table.json", {"rows": lines, "arguments": arguments}
        )
        write_text(Path(workdir) / "table.md", _markdown(lines))
    return {"rows": lines, "workdir": workdir}


def _trained(row: Row, folder: Path, arguments: dict[str, Any]) -> dict[str, Any]:
    """The result of a row's training; of both its runs where it has two."""
    if row.first is None:
        return cli.run(train_run, _words(row, folder, arguments))
    budget = arguments["max_cpu_seconds"]
    early = arguments | {"max_cpu_seconds": FIRST * budget}
    start = folder.with_name(f"{folder.name}-first")
    first = cli.run(train_run, _words(row._replace(flags=row.first), start, early))
    late = arguments | {"max_cpu_seconds": (1 - FIRST) * budget}
    words = _words(row, folder, late)
    result = cli.run(train_run, [*words, "--start-from", str(start)])
    both = ("seconds", "cpu_seconds", "num_steps", "step")
    return result | {name: first[name] + result[name] for name in both}


def _words(row: Row, folder: Path, arguments: dict[str, Any]) -> list[str]:
    """The command line of a row, after `train`."""
    flags = {
        "dataset": arguments["train"],
        "network.hidden": arguments["hidden"],
        "seed": arguments["seed"] + row.seed,
        "workdir": folder,
        **{name: arguments[name] for name in SHARED if arguments[name] is not None},
    }
    words = ["vae"]
    for name, value in flags.items():
        values = value if isinstance(value, tuple) else [value]
        words += [f"--{name.replace('_', '-')}", *map(str, values)]
    return words + row.flags.split()  # the last of a flag wins


def _scores(folder: Path, arguments: dict[str, Any]) -> dict[str, np.ndarray]:
    """`log_likelihood` and `elbo` of each image, computed once and kept.

    Raises:
      UserError: if the run gives these images no likelihood.
    """
    run = load(folder)
    images = images_of(run, arguments["validation"], arguments["data_dir"])
    num_images, num_particles = arguments["num_images"], arguments["num_particles"]
    if len(images.split.image) < num_images:
        raise UserError(f"{images.name} has fewer than {num_images} images.")
    if not has_likelihood(run, images):
        raise UserError(f"{images.name}: these images have no likelihood here.")
    rows = np.linspace(0, len(images.split.image) - 1, num_images).round().astype(int)
    _, bits_key, key, *_ = root_keys(arguments["seed"])
    x = prepare_of(run.settings)(bits_key, images.split.image[rows], scale=images.scale)
    identity = {
        "params_sha256": vaejax.checkpoint.params_sha256(run.state.params),
        "images_sha256": vaejax.data.sha256(images.split),
        "num_images": num_images,
        "num_particles": num_particles,
        "seed": arguments["seed"],
    }
    if (folder / SCORES).exists() and read_json(folder / SCORES) == identity:
        with np.load(folder / ARRAYS, allow_pickle=False) as arrays:
            return dict(arrays)
    log_p, terms = vaejax.evaluate.log_likelihood(
        key, run.model, run.state.params, x, num_particles
    )
    values: dict[str, Any] = {
        "log_likelihood": np.asarray(log_p),
        "elbo": np.asarray(terms["elbo"]),
        "monte_carlo_error": np.asarray(terms["monte_carlo_error"]),
    }
    np.savez(folder / ARRAYS, **values)
    write_json(folder / SCORES, identity)
    return values


def _line(
    row: Row,
    result: dict[str, Any],
    values: dict[str, np.ndarray],
    first: dict[str, np.ndarray] | None,
) -> dict[str, Any]:
    """A row of the table; `nll` is -log p(x), and a difference below 0 is better."""
    line = {
        "name": row.name,
        "label": row.label,
        "flags": row.flags,
        "nll": -mean(values["log_likelihood"]),
        "standard_error": error(values["log_likelihood"]),
        "negative_elbo": -mean(values["elbo"]),
        "difference": None,
        "difference_error": None,
        "largest_monte_carlo_error": float(values["monte_carlo_error"].max()),
    }
    if first is not None and first is not values:
        differences = first["log_likelihood"] - values["log_likelihood"]
        line["difference"] = mean(differences)
        line["difference_error"] = error(differences)
    times = ("seconds", "cpu_seconds", "num_steps", "step")
    return line | {name: result[name] for name in times}


def _markdown(lines: list[dict[str, Any]]) -> str:
    """The table for people."""
    text = [
        "| | -log p(x) | against the VAE | -ELBO | steps (kept) | seconds | CPU s |",
        "|---|---|---|---|---|---|---|",
    ]
    for line in lines:
        difference = (
            ""
            if line["difference"] is None
            else (f"{line['difference']:+.2f} ± {line['difference_error']:.2f}")
        )
        text.append(
            f"| {line['label']} | {line['nll']:.2f} ± {line['standard_error']:.2f} "
            f"| {difference} | {line['negative_elbo']:.2f} "
            f"| {line['num_steps']:,} ({line['step']:,}) | {line['seconds']:.0f} "
            f"| {line['cpu_seconds']:.0f} |"
        )
    return "\n".join(text) + "\n"
