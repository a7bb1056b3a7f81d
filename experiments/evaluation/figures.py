"""The figures of the page of `evaluate --all`."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.encode import posterior_moments
from experiments.evaluation.samples import decoded, drawn, features_and_words
from experiments.evaluation.subject import Subject
from experiments.report import style
from experiments.report.finding import Figure
from experiments.report.subject import pictures
from vaejax import evaluate
from vaejax.base import Key

NUM_COLUMNS = 10
NUM_DIMENSIONS = 12  # at most, that are drawn each for itself
EXTENT = 3.0  # of a traversal, in standard deviations of the codes


def overview(key: Key, subject: Subject) -> Figure:
    """Held-out images, their reconstructions, and samples where there is a prior."""
    shown = subject.held_out.picture[:NUM_COLUMNS]
    codes, _ = posterior_moments(subject.run, subject.held_out.x[:NUM_COLUMNS])
    rows = {"data": shown, "reconstructed": decoded(subject, jnp.asarray(codes))}
    if subject.trains_prior:
        rows["sampled"] = drawn(key, subject, len(shown))
    caption = f"{' / '.join(rows)}: means of p(x|z), the first images, not chosen."
    return _rows("overview", rows, caption, subject)


def neighbours(key: Key, subject: Subject) -> Figure:
    """Samples above the training images nearest to them in the features."""
    features, _ = features_and_words(subject)
    sampled = drawn(key, subject, NUM_COLUMNS)
    train = subject.train.picture
    near = evaluate.nearest_neighbors(features(sampled), features(train))
    rows = {"sampled": sampled, "nearest": train[np.asarray(near.indices)[:, 0]]}
    caption = (
        "Samples, the first ones, above the training images nearest to them in the "
        "features: a copy would be one learnt by heart."
    )
    return _rows("neighbours", rows, caption, subject)


def traversal(subject: Subject) -> Figure:
    """The dimensions along which the codes vary most, one a row."""
    mean, scale = posterior_moments(subject.run, subject.held_out.x)
    spread = np.sqrt(mean.var(axis=0) + (scale**2).mean(axis=0))
    dims = np.argsort(-mean.var(axis=0), kind="stable")[:NUM_DIMENSIONS]
    steps = np.linspace(-EXTENT, EXTENT, 9)
    z = np.tile(mean[0], (len(dims), len(steps), 1))  # [dims, steps, D]
    for row, d in enumerate(dims):
        z[row, :, d] = mean[:, d].mean() + steps * spread[d]
    rows = decoded(subject, jnp.asarray(z, jnp.float32))
    images = pictures(rows, subject.held_out.x.shape[1:])
    plot, ax = style.axes(4.6, style.heights(images.shape, 4.1, 0.35))
    columns = [f"{step:+.1f}" if step else "0" for step in steps]
    style.show(ax, images, rows=[f"z{d + 1}" for d in dims], columns=columns)
    return Figure(
        "traversal",
        plot,
        "The code of the first image, one dimension at a time set to as many standard "
        f"deviations of the codes; the {len(dims)} whose means vary most.",
        "A grid of pictures, a row for each latent dimension.",
    )


def rates(values: dict[str, Any]) -> Figure:
    """KL of every dimension, the largest first."""
    rate = np.asarray(values["rate_per_dimension"]["value"])
    error = np.asarray(values["rate_per_dimension"]["standard_error"])
    order = np.argsort(-rate)
    plot, ax = style.axes()
    ax.bar(range(len(rate)), rate[order], yerr=error[order], color=style.COLORS["VAE"])
    step = max(1, len(rate) // 16)
    ax.set_xticks(range(0, len(rate), step), [str(d + 1) for d in order[::step]])
    ax.set_xlabel("latent dimension")
    ax.set_ylabel("KL(q(z|x) || p(z)), nats")
    return Figure(
        "rates",
        plot,
        "The rate of every dimension and its standard error, the largest first.",
        "Bars of the KL divergence of each latent dimension.",
    )


def calibration(values: dict[str, Any]) -> Figure:
    """Histograms of ranks of the dimensions with the smallest p-values."""
    histogram, p = np.asarray(values["histogram"]), np.asarray(values["p_value"])
    dims = np.argsort(p, kind="stable")[:NUM_DIMENSIONS]
    plot, ax = style.axes(4.6, 0.45 + 0.3 * len(dims))
    share = histogram[dims] / histogram[dims].mean(axis=1, keepdims=True)
    num_bins = share.shape[1]
    centres = (np.arange(num_bins) + 0.5) / num_bins
    top = share.max() * 1.15
    for row, heights in enumerate(share):
        base = (len(dims) - 1 - row) * top
        ax.bar(centres, heights, 0.9 / num_bins, base, color=style.COLORS["VAE"])
        ax.axhline(base + 1, color=style.COLORS["AE"], linewidth=0.9)
    at = [(len(dims) - 1 - row) * top + 1 for row in range(len(dims))]
    ax.set_yticks(at, [f"z{d + 1}, {p_value(p[d])}" for d in dims])
    ax.grid(False)
    ax.set_xlabel("rank of the true code among draws of q(z|x), from 0 to 1")
    return Figure(
        "calibration",
        plot,
        "Simulations by rank: on the line where q(z|x) is the posterior, heaped in the "
        "middle where it is too wide, at the ends where it is too narrow.",
        "A histogram of ranks for each latent dimension.",
    )


def _rows(
    name: str, rows: dict[str, np.ndarray], caption: str, subject: Subject
) -> Figure:
    shape = subject.held_out.x.shape[1:]
    images = pictures(np.stack(list(rows.values())), shape)
    plot, ax = style.axes(6.0, style.heights(images.shape, 5.2, 0.1))
    style.show(ax, np.clip(images, 0, 1), rows=list(rows))
    return Figure(name, plot, caption, f"Rows of pictures: {', '.join(rows)}.")


def p_value(p: float) -> str:
    """In words, without digits that single precision has not."""
    return f"p = {p:.2g}" if p >= 1e-6 else "p < 1e-6"


def is_ink(subject: Subject) -> bool:
    """Whether 0 is the paper, so that it is shown in white."""
    return float(np.median(subject.train.picture)) < 0.25
