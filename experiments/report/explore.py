"""Question 5: what lies between and around the codes."""

import jax
import numpy as np
from scipy import stats

from experiments.report import style
from experiments.report.finding import Figure, Finding, Row, Table
from experiments.report.statistics import (
    DIFFERENCE,
    Estimate,
    interval,
    over_both,
    over_one,
    paired,
    plus_minus,
)
from experiments.report.subject import Subject, pictures
from experiments.report.training import Models, Trained, codes, decode, only
from vaejax.base import Key

NUM_PAIRS = 100
NUM_STEPS = 9
NUM_GRID = 15
ACTIVE = 0.01  # variance of a dimension's mean code, after Burda et al. (2016)
MAX_KNOWN = 5000


def explore(models: Models, subject: Subject, key: Key) -> Finding:
    """Walks between images, along latent dimensions, and over the plane."""
    order = np.asarray(jax.random.permutation(key, len(subject.new)))
    num = min(NUM_PAIRS, len(order) // 2)
    first, second = subject.new[order[:num]], subject.new[order[num : 2 * num]]
    known = subject.train[:MAX_KNOWN].reshape(-1, first[0].size)
    middle, ends = {}, {}
    for trained in (models.ae, models.vae):
        a, b = codes(trained, first), codes(trained, second)
        own = nearest(decode(trained, a), known), nearest(decode(trained, b), known)
        middle[trained.name] = nearest(decode(trained, (a + b) / 2), known)
        ends[trained.name] = (own[0] + own[1]) / 2
    blend = over_one(nearest(((first + second) / 2)[None], known)[0])
    variance = codes(models.vae, subject.new).var(axis=1)  # [S, D]
    active = over_one((variance > ACTIVE).sum(axis=-1).astype(float))
    rows = (
        Row("halfway between two codes, decoded", (*_both(middle), blend), 4),
        Row("the two codes themselves, decoded", (*_both(ends), None), 4),
    )
    columns = ("AE", "VAE", DIFFERENCE, "blended pixels")
    latent_dim = models.settings.latent_dim
    return Finding(
        title="Between and around the codes",
        sentence=_sentence(*_both(middle)),
        details=(
            f"{_details(_both(middle), blend)} The VAE uses {plus_minus(active, 1)} of "
            f"its {latent_dim} latent dimensions."
        ),
        notes=(
            f"Root mean squared distances per pixel: {num} pairs of new images, all "
            f"seeds, {len(known):,} training images to be near to. A blurred image is "
            "near to many, so a small distance alone makes no good image: look at the "
            "pictures too.",
            "A latent dimension counts as used if the variance of its mean code over "
            f"new images is above {ACTIVE:g} (Burda et al., 2016).",
        ),
        tables=(
            Table("Distance to the nearest training image", columns, rows),
            Table(
                "Latent dimensions",
                ("all", "used by the VAE"),
                (Row("number", (latent_dim, active), 1),),
            ),
        ),
        figures=(
            _interpolation(models, first[0], second[0], subject),
            _traversal(models, subject),
            _plane("AE", models.plane_ae, subject),
            _plane("VAE", models.plane_vae, subject),
        ),
    )


def nearest(images: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Root mean squared distance `[S, N]` from each image to the nearest known one.

    Args:
      images: `[S, N, *event]`.
      known: `[M, event size]`.
    """
    flat = images.reshape(-1, known.shape[1])
    squared = (
        (flat**2).sum(axis=1)[:, None] + (known**2).sum(axis=1) - 2 * flat @ known.T
    )
    closest = np.maximum(squared.min(axis=1), 0) / known.shape[1]
    return np.sqrt(closest).reshape(images.shape[:2])


def _both(of: dict[str, np.ndarray]) -> tuple[Estimate, Estimate, Estimate]:
    """The AE's mean, the VAE's, and the paired difference."""
    return over_both(of["AE"]), over_both(of["VAE"]), paired(of["VAE"], of["AE"])


def _sentence(ae: Estimate, vae: Estimate, gap: Estimate) -> str:
    if gap.clear:
        verdict = f"the {'VAE' if gap.value < 0 else 'AE'} stays closer to the data"
    else:
        verdict = "no difference was found"
    return (
        "Halfway between the codes of two new images, the decoding is "
        f"{plus_minus(vae, 3)} per pixel away from the nearest training image for the "
        f"VAE and {plus_minus(ae, 3)} for the AE: {verdict} (difference "
        f"{plus_minus(gap, 4)}, {interval(gap, 4)})."
    )


def _details(middle: tuple[Estimate, Estimate, Estimate], blend: Estimate) -> str:
    names = [
        name
        for name, estimate in zip(("AE", "VAE"), middle, strict=False)
        if estimate.high < blend.low
    ]
    closer = " and ".join(names) if names else "neither model"
    return (
        f"Blending the pixels of the two images gives {plus_minus(blend, 3)}; clearly "
        f"closer than that: {closer}."
    )


def _interpolation(
    models: Models, first: np.ndarray, second: np.ndarray, subject: Subject
) -> Figure:
    weights = np.linspace(0, 1, NUM_STEPS, dtype=np.float32)
    column = weights[:, None]
    rows = []
    for trained in (only(models.ae), only(models.vae)):
        a, b = codes(trained, first[None])[0], codes(trained, second[None])[0]
        rows.append(decode(trained, ((1 - column) * a + column * b)[None])[0])
    mix = weights.reshape(-1, *[1] * first.ndim)
    rows.append((1 - mix) * first + mix * second)
    images = pictures(np.stack(rows), subject.event_shape)
    plot, ax = style.axes(5.4, style.heights(images.shape, 4.9, 0.15))
    style.show(ax, images, rows=["AE", "VAE", "pixels"])
    return Figure(
        "explore_interpolation",
        plot,
        "From one new image to another on a straight line through the codes, and "
        "through pixels.",
        "Three rows of pictures that change from one image into another: by the AE, by "
        "the VAE, and by blending pixels.",
    )


def _traversal(models: Models, subject: Subject) -> Figure:
    """The dimensions that vary most, one a row, from -3 to 3 around one code."""
    trained = only(models.vae)
    code = codes(trained, subject.new)[0]
    dims = np.argsort(-code.var(axis=0))[:6]
    values = np.linspace(-3, 3, NUM_STEPS)
    z = np.tile(code[0], (len(dims), len(values), 1))
    for row, d in enumerate(dims):
        z[row, :, d] = values
    images = decode(trained, z.reshape(1, -1, z.shape[-1]))
    images = images.reshape(*z.shape[:2], *subject.event_shape)
    images = pictures(images, subject.event_shape)
    plot, ax = style.axes(5.2, style.heights(images.shape, 4.7, 0.35))
    columns = [f"{v:+.1f}" if v else "0" for v in values]
    style.show(ax, images, rows=[f"z{d + 1}" for d in dims], columns=columns)
    return Figure(
        "explore_traversal",
        plot,
        "Latent traversal of the VAE: the code of one new image, one of its most "
        "varied dimensions at a time set to the value above.",
        "A grid of pictures: each row changes one latent dimension of the VAE from low "
        "to high.",
    )


def _plane(name: str, trained: Trained, subject: Subject) -> Figure:
    """A model with two latent dimensions, decoded on a grid."""
    levels = (np.arange(NUM_GRID) + 0.5) / NUM_GRID
    if name == "VAE":
        across = up = stats.norm.ppf(levels)
        how = "at quantiles of the prior, as in Kingma and Welling (2014)"
    else:
        code = codes(trained, subject.train[:MAX_KNOWN])[0]
        across, up = np.quantile(code, levels, axis=0).T
        how = "at quantiles of its codes, since it has no prior"
    z = np.stack(np.meshgrid(across, up[::-1]), axis=-1).astype(np.float32)
    images = decode(trained, z.reshape(1, -1, 2))[0]
    images = images.reshape(NUM_GRID, NUM_GRID, *subject.event_shape)
    images = pictures(images, subject.event_shape)
    plot, ax = style.axes(4.2, style.heights(images.shape, 3.9, 0.45))
    style.show(ax, images, title=f"{name}, two latent dimensions")
    ax.set_xlabel("first latent dimension →")
    ax.set_ylabel("second →")
    return Figure(
        f"explore_plane_{name.lower()}",
        plot,
        f"{name} with two latent dimensions, decoded {how}.",
        f"A square grid of decoded pictures over the latent plane of the {name}.",
    )
