"""A conditional VAE draws the class that it is asked for.

    python -m experiments conditional --dataset fashion_mnist --workdir runs/conditional

Trains p(x|z,y), and a classifier on the same images. For every real test image one
image of its class is drawn; the classifier, which never saw a drawn image, says how
often it recognises the class, and in its features how much the images of one class
differ, beside real ones. (The classifier is the one that the report of `compare` uses.)
"""

import functools
import math
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.metrics import pairwise_distances

import vaejax
from experiments import progress
from experiments.errors import UserError
from experiments.loop import MAX_SKIPPED, check_taken, say
from experiments.optimizer import check_learning_rate
from experiments.pictures import save_grid
from experiments.report import classifier as classifiers
from experiments.report.subject import Subject, unit
from experiments.scoring import check_seed
from experiments.workdir import made, write_json
from vaejax import likelihoods, networks, objectives, posteriors, priors
from vaejax.base import ConditionalModel, Key, Params

# At most; disjoint groups of images, for the standard error of the diversity.
NUM_GROUPS = 10
NUM_COLUMNS = 12  # of the picture


class Share(NamedTuple):
    """A number with its standard error."""

    value: float
    standard_error: float


def conditional(
    *,
    dataset: str = "fashion_mnist",
    data_dir: str | None = None,
    latent_dim: int = 16,
    hidden: tuple[int, ...] = (512, 512),
    beta: float = 1.5,
    num_steps: int = 12_000,
    batch_size: int = 128,
    learning_rate: float = 1e-3,
    seed: int = 0,
    workdir: str = "runs/conditional",
) -> dict[str, Any]:
    """Trains a conditional VAE and asks a classifier what its samples show.

    Writes conditional.png, a row for each class and in each column one z, and
    conditional.json.

    Args:
      dataset: labelled images in the unit interval: digits, mnist, fashion_mnist,
        idx:FOLDER, npz:FILE or tfds:NAME.
      data_dir: folder of the files of mnist and fashion_mnist, or of tfds: sets.
      latent_dim: how many numbers describe an image besides its class.
      hidden: widths of the encoder and of the decoder.
      beta: weight of the rate. At 1 the codes of an image still tell its class, so a z
        of the prior may belong to another one than is asked for; above 1 they cannot
        afford to, and images differ less.
      num_steps: of Adam, its learning rate falling to 0.
      batch_size: images per step.
      learning_rate: at the first step.
      seed: of everything random.
      workdir: where the result goes.

    Raises:
      UserError: if the settings or the data do not allow it.
    """
    begin = time.perf_counter()
    check_seed(seed)
    check_learning_rate(learning_rate)
    if min(num_steps, batch_size, latent_dim, *hidden) < 1:
        raise UserError("counts and widths must be at least 1.")
    try:
        objective = objectives.conditional(objectives.elbo(beta=beta))
    except ValueError as error:
        raise UserError(str(error)) from error
    folder = made(workdir)
    subject = _labelled_images(dataset, data_dir, seed)
    assert subject.train_label is not None
    assert subject.new_label is not None
    if len(subject.event_shape) not in (2, 3):
        raise UserError(f"{dataset}: expected images, got {subject.event_shape}.")
    if batch_size > len(subject.train):
        raise UserError(f"--batch-size must be at most {len(subject.train)}.")
    num_classes = int(max(subject.train_label.max(), subject.new_label.max())) + 1
    model = build(subject.event_shape, num_classes, latent_dim, hidden)
    train_key, sample_key, picture_key = jax.random.split(jax.random.key(seed), 3)
    params = train(
        train_key, model, subject, objective, num_steps, batch_size, learning_rate
    )
    trained = time.perf_counter()
    classifier = classifiers.train(subject)
    drawn = sample(sample_key, model, params, subject.new_label)
    result = judge(classifier, subject, drawn)
    picture(picture_key, model, params, num_classes, folder / "conditional.png")
    result |= {
        "dataset": dataset,
        "beta": beta,
        "num_steps": num_steps,
        "training_seconds": round(trained - begin, 1),
        "seconds": round(time.perf_counter() - begin, 1),
    }
    write_json(folder / "conditional.json", result)
    say(_sentence(result))
    return result | {"workdir": workdir}


def _labelled_images(dataset: str, data_dir: str | None, seed: int) -> Subject:
    """Images in [0, 1]; the new ones are the test split, else the validation images."""
    images = vaejax.data.load(dataset, data_dir=data_dir, seed=seed)
    new = images.validation if images.test is None else images.test
    for split in (images.train, new):
        if split.label is None or len(split.label) < 1 or split.label.min() < 0:
            raise UserError(f"{dataset}: every image needs a label.")
    train_images, rescaled = unit(images.train.image, images.train.image, images.scale)
    new_images, _ = unit(new.image, images.train.image, images.scale)
    if rescaled:
        raise UserError(f"{dataset}: images must lie between 0 and {images.scale:g}.")
    return Subject(
        dataset,
        train_images,
        images.train.label,
        new_images,
        new.label,
        None,
        None,
        seed,
        (),
    )


def build(
    event_shape: tuple[int, ...],
    num_classes: int,
    latent_dim: int,
    hidden: tuple[int, ...],
) -> ConditionalModel:
    """A conditional VAE of multilayer perceptrons, for binarised images."""
    network = networks.mlp(hidden=hidden)
    return vaejax.conditional_latent_variable_model(
        posteriors.diagonal_normal(network, latent_dim),
        priors.standard_normal(latent_dim),
        likelihoods.bernoulli(network, event_shape),
        num_classes=num_classes,
    )


def train(
    key: Key,
    model: ConditionalModel,
    subject: Subject,
    objective: vaejax.Objective,
    num_steps: int,
    batch_size: int,
    learning_rate: float,
) -> Params:
    """Trains on images that are binarised anew each time they are seen."""
    optimizer = optax.adam(optax.cosine_decay_schedule(learning_rate, num_steps))

    def prepare(key: Key, batch: Any) -> Any:
        x, label = batch
        return vaejax.data.binarize(key, x, scale=1.0), label

    step = functools.partial(vaejax.train_step, model, objective, optimizer)
    epoch = jax.jit(
        functools.partial(vaejax.train_epoch, step, batch_size, prepare=prepare),
        donate_argnums=0,
    )
    data = jnp.asarray(subject.train), jnp.asarray(subject.train_label)
    one = jax.tree.map(lambda leaf: leaf[:1], data)
    state = vaejax.init_state(key, model, objective, optimizer, one)
    with progress.bar("steps", num_steps) as advance:
        while (done := int(state.step)) < num_steps:
            num = min(len(subject.train) // batch_size, num_steps - done)
            state, metrics = epoch(state, data=data, num_steps=jnp.int32(num))
            check_taken({n: v.item() for n, v in metrics.items()}, MAX_SKIPPED)
            advance(num, f"loss {float(metrics['loss']):.2f}")
    return state.params


def sample(
    key: Key, model: ConditionalModel, params: Params, label: np.ndarray
) -> np.ndarray:
    """The means of p(x|z,y) for one z of the prior a label, `[N, *event]`."""

    @jax.jit
    def means(label: jax.Array) -> jax.Array:
        given = model.given(label)
        z = given.prior(params).sample(key, label.shape)
        return given.decode(params, z).mean()

    return np.asarray(means(jnp.asarray(label)))


def judge(
    classifier: classifiers.Classifier, subject: Subject, drawn: np.ndarray
) -> dict[str, Any]:
    """What the classifier makes of images drawn for the labels of the new ones."""
    label = subject.new_label
    assert label is not None
    right = classifier.labels(drawn) == label
    accuracy = Share(float(right.mean()), float(right.std() / np.sqrt(len(right))))
    real_right = classifier.labels(subject.new) == label
    real, features = classifier.features(subject.new), classifier.features(drawn)
    ratio = diversity(features, real, label)
    classes = np.unique(label)
    return {
        "num_images": len(label),
        "accuracy_real": float(real_right.mean()),
        "accuracy_drawn": accuracy.value,
        "accuracy_drawn_standard_error": accuracy.standard_error,
        "accuracy_real_by_class": [
            float(real_right[label == c].mean()) for c in classes
        ],
        "accuracy_drawn_by_class": [float(right[label == c].mean()) for c in classes],
        "diversity": ratio.value,
        "diversity_standard_error": ratio.standard_error,
    }


def diversity(drawn: np.ndarray, real: np.ndarray, label: np.ndarray) -> Share:
    """How far apart drawn images of one class are, over how far real ones are.

    The mean distance of two images of a class in features `[N, F]`, averaged over the
    classes. The standard error is that of the mean over disjoint groups of images, NaN
    where there are too few.
    """
    value = spread(drawn, label) / spread(real, label)
    classes, counts = np.unique(label, return_counts=True)
    num_groups = min(NUM_GROUPS, int(counts.min()) // 2)
    if num_groups < 2:
        return Share(value, math.nan)
    groups = np.zeros(len(label), int)
    for c in classes:  # every group has its share of each class
        own = np.flatnonzero(label == c)
        groups[own] = np.arange(len(own)) % num_groups
    ratios = [
        spread(drawn[own], label[own]) / spread(real[own], label[own])
        for own in (groups == g for g in range(num_groups))
    ]
    return Share(value, float(np.std(ratios, ddof=1) / np.sqrt(num_groups)))


def spread(features: np.ndarray, label: np.ndarray) -> float:
    """The mean distance of two of one class, averaged over classes of at least 2."""
    means = []
    for c in np.unique(label):
        own = features[label == c]
        if len(own) > 1:
            means.append(pairwise_distances(own).sum() / (len(own) * (len(own) - 1)))
    return float(np.mean(means))


def picture(
    key: Key, model: ConditionalModel, params: Params, num_classes: int, path: Path
) -> None:
    """Writes a row for each class; all images of a column have the same z."""
    z = model.given(jnp.int32(0)).prior(params).sample(key, (NUM_COLUMNS,))

    @jax.jit
    @jax.vmap
    def row(label: jax.Array) -> jax.Array:
        return model.given(label).decode(params, z).mean()

    images = row(jnp.arange(num_classes))  # [C, columns, *event]
    save_grid(
        path, np.asarray(images).reshape(-1, *images.shape[2:]), columns=NUM_COLUMNS
    )


def _sentence(result: dict[str, Any]) -> str:
    return (
        f"The classifier is right on {100 * result['accuracy_real']:.1f} % of "
        f"{result['num_images']:,} real images and recognises the asked class in "
        f"{100 * result['accuracy_drawn']:.1f} +- "
        f"{100 * result['accuracy_drawn_standard_error']:.1f} % of as many drawn ones; "
        "these differ within a class "
        f"{result['diversity']:.3f} +- {result['diversity_standard_error']:.3f} times "
        "as much as real ones."
    )
