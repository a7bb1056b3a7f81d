"""`python -m experiments evaluate`: how likely images are under a trained model."""

from typing import Any, NamedTuple

import vaejax
from experiments.errors import UserError
from experiments.scoring import likelihood_support, ready, score
from experiments.workdir import PARTS, Run, load, made


def evaluate(
    *,
    workdir: str,
    dataset: str | None = None,
    data_dir: str | None = None,
    num_particles: int = 1000,
    all: bool = False,
    num_images: int = 500,
    out: str | None = None,
    allow: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Scores images: ELBO, importance-weighted log-likelihood, rate and distortion.

    With --all everything that is known of the model, in evaluation.json and, as a page
    with figures, evaluation.html.

    Args:
      workdir: the folder of a run.
      dataset: whose images; all of npz:FILE, the test split of a set that has one.
        Default: the test split of the run's data, else its validation images.
      data_dir: where the files of that dataset lie, as in train.
      num_particles: posterior samples per image.
      all: whether to measure everything: likelihood, what is used of the latent, how
        right the posterior is, what codes mean, and how like data samples are.
      num_images: under --all, how many of the images are looked at, at most; without
        it, every image is.
      out: under --all, the folder to write; default the workdir.
      allow: code from outside the library that the run may name, as in `load`.
    """
    if num_particles < 1:
        raise UserError(f"--num-particles must be at least 1, got {num_particles}.")
    if all:
        if num_images < 2:
            raise UserError(f"--num-images must be at least 2, got {num_images}.")
        return _everything(
            workdir, dataset, data_dir, num_particles, num_images, out, allow
        )
    if out is not None:
        raise UserError("--out is where --all writes: give both, or neither.")
    run = load(workdir, allow=allow)
    images = images_of(run, dataset, data_dir)
    name, split, scale = images
    scores = score(
        run.settings["training"]["seed"],
        run.model,
        run.state.params,
        ready(run.settings, split.image, scale),
        num_particles,
        is_likelihood=has_likelihood(run, images),
    )
    return scores | {"num_particles": num_particles, "dataset": name}


def _everything(
    workdir: str,
    dataset: str | None,
    data_dir: str | None,
    num_particles: int,
    num_images: int,
    out: str | None,
    allow: tuple[str, ...],
) -> dict[str, Any]:
    from experiments.evaluation.everything import evaluate_all
    from experiments.evaluation.subject import subject_of

    run = load(workdir, allow=allow)
    subject = subject_of(run, dataset, data_dir, num_images, num_particles, allow)
    return evaluate_all(subject, made(out or workdir, "--out"))


class Images(NamedTuple):
    """Images to use, what they are called, and what 1.0 means in them."""

    name: str
    split: vaejax.data.Split
    scale: float


def images_of(run: Run, dataset: str | None, data_dir: str | None) -> Images:
    """The images to use.

    Args:
      run: gives the event shape, and the data where none is named.
      dataset: a spec, or None for the run's test split, else its validation images.
      data_dir: where its files lie; the run's own where the dataset is the run's.

    Returns:
      Images of the run's type have its scale, others that of their own type: a model
      of uint8 images reads bool ones as 0 and 1.

    Raises:
      UserError: if there are none, or they are of another shape than the run's.
    """
    data = run.settings["data"]
    if dataset is not None:
        name = dataset
        data_dir = data_dir or (
            data["data_dir"] if dataset == data["dataset"] else None
        )
        split = vaejax.data.load_split(dataset, data_dir=data_dir)
    else:
        images = training_data(run)
        part = "validation" if images.test is None else "test"
        name, split = f"{images.name} ({part})", images.test or images.validation
    if not len(split.image):
        raise UserError(f"{name} has no images: name some with --dataset.")
    if list(split.image.shape[1:]) != data["event_shape"]:
        raise UserError(
            f"{name} has images of shape {split.image.shape[1:]}, the model was "
            f"trained on {tuple(data['event_shape'])}."
        )
    own = split.image.dtype.name != data["dtype"]
    scale = vaejax.data.default_scale(split.image) if own else data["scale"]
    return Images(name, split, scale)


def has_likelihood(run: Run, images: Images) -> bool:
    """Whether `log_prob` of these images under the run's likelihood is one.

    Raises:
      UserError: if they are outside its support.
    """
    name, split, scale = images
    support, num = likelihood_support(run.model, split.image.shape[1:])
    binarize = run.settings["data"]["binarize"]
    try:
        return vaejax.data.check_support(
            split, support, binarize, scale=scale, num_values=num
        )
    except vaejax.data.DataError as error:
        raise UserError(f"{name}: {error}") from error


def training_data(run: Run) -> vaejax.data.Dataset:
    """The dataset a run was trained on, loaded again and known to be the same.

    Raises:
      UserError: if its SHA-256 differs.
    """
    data, training = run.settings["data"], run.settings["training"]
    images = vaejax.data.load(
        data["dataset"],
        data_dir=data["data_dir"],
        validation=data["validation"],
        validation_fraction=data["validation_fraction"],
        seed=data.get("seed", training["seed"]),  # of a sweep's run, that of the sweep
    )
    for part in PARTS:
        split = getattr(images, part)
        now = None if split is None else vaejax.data.sha256(split)
        if now != data[f"{part}_sha256"]:
            raise UserError(
                f"the {part} images of {data['dataset']} are no longer those of this "
                "run (their SHA-256 differs): name images with --dataset."
            )
    return images
