"""Question 6: what only the VAE can say."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.random import clone
from matplotlib.axes import Axes
from scipy import stats

from experiments.report import style
from experiments.report.distances import gaussian_kl_to_prior
from experiments.report.finding import Figure, Finding, Row, Table
from experiments.report.statistics import (
    DIFFERENCE,
    MINUS,
    Estimate,
    interval,
    over_both,
    over_one,
    paired,
    plus_minus,
)
from experiments.report.subject import Subject
from experiments.report.training import Models, Trained, encode, prepare
from vaejax import Model, evaluate
from vaejax.base import Key, Metrics, Params

NUM_PARTICLES = 200
MAX_IMAGES = 200
Scores = dict[str, np.ndarray]  # `[S, N]` each, in nats

TERMS = {
    "log_likelihood": f"log p(x), {NUM_PARTICLES} particles",
    "elbo": "ELBO",
    "distortion": f"distortion, {MINUS}E log p(x|z)",
    "rate": "rate, KL(q(z|x) ‖ p(z))",
}


def likelihood(models: Models, subject: Subject, key: Key) -> Finding:
    """Bounds and estimates of log p(x), and where each model puts its codes."""
    prepare_key, estimate_key, code_key = jax.random.split(key, 3)
    images = jnp.asarray(subject.new[:MAX_IMAGES])
    x = prepare(models.settings)(prepare_key, images)
    vae, denoising = (
        jax.device_get(score(clone(estimate_key), t.model, t.params, x))
        for t in (models.vae, models.denoising_vae)
    )
    alone = np.asarray(
        distortion(clone(estimate_key), models.ae.model, models.ae.params, x)
    )
    error = float(np.sqrt((vae["monte_carlo_error"] ** 2).sum(axis=1)).mean() / len(x))
    z = {t.name: draw(code_key, t, subject.new) for t in (models.ae, models.vae)}
    away = {
        name: np.array([gaussian_kl_to_prior(codes) for codes in drawn])
        for name, drawn in z.items()
    }
    size = {name: np.sqrt((drawn**2).mean(axis=(1, 2))) for name, drawn in z.items()}
    return Finding(
        title="What only the VAE can say",
        sentence=_sentence(vae),
        details=_details(vae, away),
        notes=_notes(models, len(x), error),
        tables=(
            _table(vae, denoising, alone),
            Table(
                "How far codes are from the prior N(0, I)",
                ("AE", "VAE", DIFFERENCE),
                (
                    Row("KL(Gaussian fitted to codes ‖ N(0, I)), nats", _three(away)),
                    Row("root mean square of a code", _three(size)),
                ),
            ),
            Table(
                "Monte Carlo", ("nats",), (Row("error of mean log p(x)", (error,), 3),)
            ),
        ),
        figures=(_terms(vae, alone), _norms(models, z)),
    )


@functools.partial(jax.jit, static_argnums=1)
def score(key: Key, model: Model, params: Params, x: jax.Array) -> Metrics:
    """Everything that `evaluate.log_likelihood` says, `[S, N]` each, in nats."""

    def one(params: Params) -> Metrics:
        value, more = evaluate.log_likelihood(key, model, params, x, NUM_PARTICLES)
        return more | {"log_likelihood": value}

    return jax.vmap(one)(params)


@functools.partial(jax.jit, static_argnums=1)
def distortion(key: Key, model: Model, params: Params, x: jax.Array) -> jax.Array:
    """The AE's one number, `[S, N]`: exact, its posterior being a point."""
    return jax.vmap(lambda params: evaluate.distortion(key, model, params, x))(params)


def draw(key: Key, trained: Trained, x: np.ndarray) -> np.ndarray:
    """One code of each image, `[S, N, D]`."""
    posterior = encode(trained.model, trained.params, jnp.asarray(x))
    return np.asarray(posterior.sample(clone(key)), np.float64)


def _three(of: dict[str, np.ndarray]) -> tuple[Estimate, Estimate, Estimate]:
    return over_one(of["AE"]), over_one(of["VAE"]), paired(of["VAE"], of["AE"])


def _table(vae: Scores, denoising: Scores, ae: np.ndarray) -> Table:
    rows = tuple(
        Row(
            label,
            (
                over_both(vae[name]),
                over_both(denoising[name]),
                over_both(ae) if name == "distortion" else None,
            ),
        )
        for name, label in TERMS.items()
    )
    gaps = (paired(s["log_likelihood"], s["elbo"]) for s in (vae, denoising))
    gap = Row("log p(x) over the ELBO", (*gaps, None))
    return Table("Nats per image", ("VAE", "denoising VAE", "AE"), (*rows, gap))


def _notes(models: Models, num_images: int, error: float) -> tuple[str, str]:
    what = {
        "bernoulli": "bits drawn once from new images",
        "normal": "new images; these are log densities of intensities",
    }[models.settings.likelihood]
    return (
        f"Nats per image, on {num_images} images: {what}. The importance-weighted "
        "estimate is a lower bound in expectation; its Monte Carlo error at these "
        f"images is {error:.3f} nats, on average over the seeds.",
        "An auto-encoder has a distortion, but no rate, ELBO or likelihood. As codes "
        "cost it nothing, a smaller distortion is no merit by itself: it can store "
        "noise. Codes of the VAE are draws from q(z|x).",
    )


def _sentence(vae: Scores) -> str:
    gap = paired(vae["log_likelihood"], vae["elbo"])
    return (
        "The VAE gives a new image a log-likelihood of "
        f"{plus_minus(over_both(vae['log_likelihood']), 2)} nats, "
        f"{plus_minus(gap, 2)} above its ELBO; the AE gives none."
    )


def _details(vae: Scores, away: dict[str, np.ndarray]) -> str:
    distance = paired(away["AE"], away["VAE"])
    if distance.clear:
        nearer = f"the {'VAE' if distance.value > 0 else 'AE'}'s are nearer"
    else:
        nearer = "no difference was found"
    return (
        f"The ELBO, {plus_minus(over_both(vae['elbo']), 2)}, is minus a distortion of "
        f"{plus_minus(over_both(vae['distortion']), 2)} and a rate of "
        f"{plus_minus(over_both(vae['rate']), 2)}. A Gaussian fitted to the codes is "
        f"{plus_minus(over_one(away['VAE']), 1)} nats from the prior for the VAE and "
        f"{plus_minus(over_one(away['AE']), 1)} for the AE: {nearer} "
        f"({interval(distance, 1)}), though only the VAE was asked to be near."
    )


def _terms(vae: Scores, ae: np.ndarray) -> Figure:
    plot, ax = style.axes(4.6, 2.6)
    parts = over_both(vae["distortion"]), over_both(vae["rate"])
    _bar(ax, 0, 0, over_both(ae), style.COLORS["AE"], "distortion")
    _bar(ax, 1, 0, parts[0], style.COLORS["VAE"], "distortion")
    _bar(ax, 1, parts[0].value, parts[1], style.COLORS["denoising VAE"], "rate")
    _bar(ax, 2, 0, over_both(-vae["log_likelihood"]), style.REFERENCE, "")
    ax.set_yticks(range(3), ["AE", f"VAE: {MINUS}ELBO", f"VAE: {MINUS}log p(x)"])
    ax.invert_yaxis()
    ax.set_xlabel("nats per image")
    return Figure(
        "likelihood_terms",
        plot,
        f"The terms of the bound with standard errors (light: the rate), and "
        f"{MINUS}log p(x), which the bound is a bound on.",
        "Bars: the auto-encoder's distortion, the VAE's distortion and rate, and its "
        "negative log-likelihood.",
    )


def _bar(
    ax: Axes, row: int, left: float, size: Estimate, color: str, word: str
) -> None:
    error: style.Look = {"xerr": size.standard_error, "error_kw": {"elinewidth": 1.2}}
    ax.barh(row, size.value, left=left, color=color, height=0.6, **error)
    if size.value < 0.15 * (left + size.value):
        return  # no room for the word
    center = (left + size.value / 2, row)
    ax.annotate(word, center, ha="center", va="center", color="white", fontsize=7.5)


def _norms(models: Models, z: dict[str, np.ndarray]) -> Figure:
    """How long codes are, against how long draws from the prior are."""
    plot, ax = style.axes(4.6, 2.6)
    lengths = {name: np.linalg.norm(codes[0], axis=-1) for name, codes in z.items()}
    top = 1.02 * max(x.max() for x in lengths.values())
    bins = list(np.linspace(0, top, 50))
    for name, length in lengths.items():
        look: style.Look = {
            "color": style.COLORS[name],
            "alpha": 0.55,
            "histtype": "stepfilled",
        }
        ax.hist(length, bins, density=True, label=f"{name}'s codes", **look)
    at = np.linspace(0, top, 300)
    chi = stats.chi(models.settings.latent_dim).pdf(at)
    ax.plot(at, chi, color=style.INK, label="prior")
    ax.set_xlabel("length of a code |z|")
    ax.set_ylabel("density")
    ax.legend()
    return Figure(
        "likelihood_norms",
        plot,
        "Lengths of the codes of new images, one seed; the line is the prior's chi "
        "distribution.",
        "Histograms of code lengths of both models with the prior's density as a line.",
    )
