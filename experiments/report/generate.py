"""Question 4: new data from the decoder alone."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.random import clone

from experiments.report import style
from experiments.report.classifier import NUM_FEATURES, Classifier, command, train
from experiments.report.distances import Prdc, frechet_distance, prdc
from experiments.report.finding import Figure, Finding, Row, Table
from experiments.report.statistics import (
    Estimate,
    interval,
    over_one,
    paired,
    percent,
    plus_minus,
)
from experiments.report.subject import Subject, pictures
from experiments.report.training import Models, decode, encode
from vaejax.base import Key

SOURCES = (
    ("VAE, N(0, I)", "vae", False),
    ("AE, N(0, I)", "ae", False),
    ("AE, fitted Gaussian", "ae", True),
    ("VAE, fitted Gaussian", "vae", True),
)
NUM_NEIGHBORS = 5
MAX_FITTED = 4000
NUM_SHOWN = 40


def generate(models: Models, subject: Subject, key: Key) -> Finding:
    """Draws codes, decodes them, and compares the images with real ones."""
    title = "New data from the decoder alone"
    num = len(subject.new) // 2
    images = {
        name: sample(models, subject, key, which, fitted, num)
        for name, which, fitted in SOURCES
    }
    grids = tuple(_grid(name, x, subject) for name, x in images.items())
    if subject.train_label is None:
        return Finding(
            title,
            "This data set has no labels, so there is no classifier in whose features "
            "generated images could be measured: there are only the pictures.",
            figures=grids,
        )
    judge = train(subject)
    scores = _scores(judge, images, subject)
    of = {name: score[:, 0] for name, score in scores.items()}
    return Finding(
        title=title,
        sentence=_sentence(of),
        details=_details(of, scores),
        notes=(
            f"Frechet distance in the {NUM_FEATURES} features of a small classifier "
            f"trained for this report (it names {percent(judge.accuracy, 1)} of new "
            "images rightly). It is no FID, and compares with no other report. Every "
            f"distance is between {num:,} images and {num:,} real new ones, a half of "
            "the new images that is drawn for each seed; real against real is the "
            "other half. Decoded means are compared, not draws of the likelihood.",
            "Precision, recall, density and coverage as defined by Naeem et al., 2020, "
            f"https://arxiv.org/abs/2002.09797, with {NUM_NEIGHBORS} neighbours, in "
            "the same features.",
            f"{command(subject)} makes the classifier again; SHA-256 of its "
            f"parameters: {judge.params_sha256}",
        ),
        tables=(
            _table(scores),
            Table(
                "The classifier",
                ("accuracy on new images, %", "features"),
                (Row("classifier", (100 * judge.accuracy, NUM_FEATURES), 1),),
            ),
        ),
        figures=(_dots(of), *grids),
    )


def sample(
    models: Models, subject: Subject, key: Key, which: str, fitted: bool, num: int
) -> np.ndarray:
    """Decodes `num` codes for every seed: `[S, num, *event]`.

    Codes are drawn from N(0, I), the same for every model, or pushed through the
    mean and covariance of the model's codes of training images, draws from q(z|x).
    """
    trained = getattr(models, which)
    shape = (models.settings.num_seeds, num, models.settings.latent_dim)
    z = np.array(jax.random.normal(jax.random.fold_in(clone(key), 0), shape))
    if fitted:
        x = jnp.asarray(subject.train[:MAX_FITTED])
        posterior = encode(trained.model, trained.params, x)
        known = np.asarray(posterior.sample(jax.random.fold_in(clone(key), 1)))
        for s, code in enumerate(known):
            covariance = np.atleast_2d(np.cov(code, rowvar=False))
            values, vectors = np.linalg.eigh(covariance)
            root = vectors * np.sqrt(np.maximum(values, 0))
            z[s] = code.mean(axis=0) + z[s] @ root.T
    return decode(trained, z)


def _scores(
    judge: Classifier, images: dict[str, np.ndarray], subject: Subject
) -> dict[str, np.ndarray]:
    """`[S, 5]` for each source, against a half of the new images for each seed."""
    real = judge.features(subject.new)
    num = len(real) // 2
    scores: dict[str, list[tuple[float, ...]]] = {
        name: [] for name in (*images, "real")
    }
    rng = np.random.default_rng(0)
    for s in range(len(next(iter(images.values())))):
        order = rng.permutation(len(real))
        half, other = real[order[:num]], real[order[num : 2 * num]]
        for name in scores:
            x = other if name == "real" else judge.features(images[name][s])
            four = prdc(half, x, min(NUM_NEIGHBORS, num - 1))
            scores[name].append((frechet_distance(half, x), *four))
    return {name: np.array(rows) for name, rows in scores.items()}


def _table(scores: dict[str, np.ndarray]) -> Table:
    labels = ["Frechet distance (lower is better)"]
    labels += [f"{name} (higher is better)" for name in Prdc._fields]
    rows = tuple(
        Row(
            label,
            tuple(over_one(score[:, i]) for score in scores.values()),
            2 + (i > 0),
        )
        for i, label in enumerate(labels)
    )
    return Table("Generated against real images", tuple(scores), rows)


def _sentence(of: dict[str, np.ndarray]) -> str:
    vae, ae, fitted = (over_one(of[name]) for name, *_ in SOURCES[:3])
    gaps = [paired(of[SOURCES[i][0]], of[SOURCES[0][0]]) for i in (1, 2)]
    return (
        "Decoded from N(0, I), the VAE's images lie at a Frechet distance of "
        f"{plus_minus(vae, 1)} from real ones and the AE's at {plus_minus(ae, 1)} "
        f"({_verdict(gaps[0])}); from a Gaussian fitted to its codes the AE's lie at "
        f"{plus_minus(fitted, 1)} ({_verdict(gaps[1])})."
    )


def _verdict(gap: Estimate) -> str:
    """In words: `gap` is the AE's distance minus the VAE's."""
    if not gap.clear:
        return f"no difference from the VAE's was found, {interval(gap, 1)}"
    word = "further away" if gap.value > 0 else "closer"
    return f"{word} than the VAE's, {interval(gap, 1)}"


def _details(of: dict[str, np.ndarray], scores: dict[str, np.ndarray]) -> str:
    own = over_one(of[SOURCES[3][0]])
    gap = paired(of[SOURCES[0][0]], of[SOURCES[3][0]])
    real = over_one(of["real"])
    precision, recall = (
        [plus_minus(over_one(scores[name][:, i]), 2) for name, *_ in SOURCES[:3]]
        for i in (1, 2)
    )
    if gap.clear:
        verdict = "helps it too" if gap.value > 0 else "does not help it"
    else:
        verdict = "makes no difference to it that was found"
    return (
        f"Real against real is {plus_minus(real, 1)}. A Gaussian fitted to the VAE's "
        f"own codes {verdict} ({plus_minus(own, 1)}). Precision is {precision[0]} "
        f"(VAE), {precision[1]} (AE) and {precision[2]} (AE, fitted); recall is "
        f"{recall[0]}, {recall[1]} and {recall[2]}."
    )


def _dots(of: dict[str, np.ndarray]) -> Figure:
    plot, ax = style.axes(5.2, 2.5)
    for i, (name, distances) in enumerate(of.items()):
        color = style.COLORS.get(name.split(",")[0], style.REFERENCE)
        style.dots(ax, i, distances, color)
    ax.set_yticks(range(len(of)), list(of))
    ax.invert_yaxis()
    ax.set_xscale("log")
    ax.set_xlabel("Frechet distance in classifier features (left is better)")
    return Figure(
        "generate_frechet",
        plot,
        "Every dot is a seed, every bar the mean of all with its standard error; equal "
        "sample sizes.",
        "Frechet distances of four ways to generate images, and of real images, on a "
        "logarithmic axis.",
    )


def _grid(name: str, images: np.ndarray, subject: Subject) -> Figure:
    shown = pictures(images[0, :NUM_SHOWN], subject.event_shape)
    columns = min(8, len(shown))
    num_rows = len(shown) // columns
    grid = shown[: num_rows * columns].reshape(num_rows, columns, *shown.shape[1:])
    plot, ax = style.axes(3.6, style.heights(grid.shape, 3.4, 0.35))
    style.show(ax, grid, title=name)
    slug = name.lower().replace("n(0, i)", "prior").replace(", ", "_").replace(" ", "_")
    return Figure(
        f"generate_{slug}",
        plot,
        f"{name}: the first draws of one seed, not chosen.",
        f"A grid of images decoded from random codes: {name}.",
    )
