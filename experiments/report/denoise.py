"""Question 3: denoising, from one corrupted copy and from eight."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.report import style
from experiments.report.corruption import KINDS, NUM_COPIES, Kind, copies, psnr
from experiments.report.finding import Figure, Finding, Row, Table
from experiments.report.statistics import (
    DIFFERENCE,
    MINUS,
    Estimate,
    interval,
    over_both,
    over_one,
    paired,
    percent,
    plus_minus,
    signed,
)
from experiments.report.subject import Subject, pictures
from experiments.report.training import Models, Trained, decode, encode
from vaejax.base import Key
from vaejax.distributions import Normal

MAX_IMAGES = 200
NAMES = ("AE", "VAE", "denoising AE", "denoising VAE")
PAIRS = (("VAE", "AE"), ("denoising VAE", "denoising AE"))
AMOUNTS = ("one copy", f"{NUM_COPIES} copies")


class Denoised(NamedTuple):
    """What one model makes of corrupted copies."""

    images: tuple[np.ndarray, np.ndarray]  # from one, from all: `[S, N, *event]`
    fallbacks: float  # share of dimensions combined otherwise


class Setting(NamedTuple):
    """One kind and level of noise, one or all copies."""

    kind: Kind
    level: float
    amount: str
    score: dict[str, np.ndarray]  # PSNR of each model `[S, N]`, of "pixels" `[N]`
    examples: list[np.ndarray]  # corrupted, then from each model: `[*event]`

    @property
    def gaps(self) -> list[Estimate]:
        """VAE over AE, clean and denoising."""
        return [paired(self.score[a], self.score[b]) for a, b in PAIRS]


def combine(loc: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""The posterior given n independent copies, from those given each of them.

    .. math:: q(z) \propto p(z)^{1-n} \prod_{i=1}^n q(z|x_i), \quad p(z) = N(0, 1)

    Each posterior holds the prior once, so the product holds it n times: n - 1 are
    divided out. The precision :math:`\sum_i \sigma_i^{-2} - (n - 1)` need not be
    positive; where it is not, the geometric mean of the posteriors stands in, which
    holds the prior once and always exists.

    Args:
      loc: `[n, ...]`, the means.
      scale: `[n, ...]`, the standard deviations.

    Returns:
      The mean of the combination `[...]`, and where the stand-in was used `[...]`.
    """
    precisions = 1 / scale**2
    total = precisions.sum(axis=0)
    precision = total - (len(loc) - 1)
    bad = precision <= 0
    return (precisions * loc).sum(axis=0) / np.where(bad, total, precision), bad


def restore(trained: Trained, corrupted: np.ndarray) -> Denoised:
    """Denoises `[8, N, *event]`, from the first copy and from all of them.

    The codes of an auto-encoder are averaged, the posteriors of a VAE combined.
    """
    num, size = corrupted.shape[:2]
    flat = corrupted.reshape(num * size, *corrupted.shape[2:])
    posterior = encode(trained.model, trained.params, jnp.asarray(flat))

    def by_copy(x: jax.Array) -> np.ndarray:  # [S, 8 N, D] -> [8, S, N, D]
        return np.moveaxis(np.asarray(x).reshape(len(x), num, size, -1), 1, 0)

    loc = by_copy(posterior.mean())
    if isinstance(posterior, Normal):
        z, bad = combine(loc, by_copy(posterior.scale))
    else:
        z, bad = loc.mean(axis=0), np.zeros(1)
    return Denoised((decode(trained, loc[0]), decode(trained, z)), float(bad.mean()))


def denoise(models: Models, subject: Subject, key: Key) -> Finding:
    """Restores new images at every level of both kinds of noise."""
    truth = subject.new[:MAX_IMAGES]
    settings, fallbacks = [], []
    for kind, corrupted in zip(KINDS, copies(key, jnp.asarray(truth)), strict=True):
        for level, copied in zip(kind.levels, np.asarray(corrupted), strict=True):
            denoised = {t.name: restore(t, copied) for t in models.four}
            fallbacks += [denoised[a].fallbacks for a, _ in PAIRS]
            for i, amount in enumerate(AMOUNTS):
                pixels = (copied[0], copied.mean(axis=0))[i]
                score = {name: psnr(d.images[i], truth) for name, d in denoised.items()}
                score["pixels"] = psnr(pixels[None], truth)[0]
                examples = [pixels[0], *(d.images[i][0, 0] for d in denoised.values())]
                settings.append(Setting(kind, level, amount, score, examples))
    share = float(np.mean(fallbacks))
    means = [_mean_gap(settings, *pair) for pair in PAIRS]
    overall = (
        Row("mean gain in dB", tuple(means), 2),
        Row("dimensions combined otherwise, %", (100 * share, None), 3),
    )
    columns = (DIFFERENCE, f"denoising VAE {MINUS} denoising AE")
    return Finding(
        title="Denoising, from one copy and from several",
        sentence=_sentence(means, settings),
        details=_details(settings),
        notes=_notes(len(truth), share),
        tables=(
            Table("Over all settings", columns, overall),
            *(_table(settings, kind, amount) for kind in KINDS for amount in AMOUNTS),
        ),
        figures=(
            *(_curves(settings, kind, a) for kind in KINDS for a in AMOUNTS),
            *(_example(settings, kind, truth[0], subject) for kind in KINDS),
        ),
    )


def _notes(num_images: int, share: float) -> tuple[str, ...]:
    prior = f"q(z) ∝ p(z)^(1{MINUS}n) q(z|x₁) ⋯ q(z|xₙ)"
    return (
        f"PSNR on {num_images} new images, all seeds; every model gets the same "
        "corrupted copies. The denoising models were trained on both kinds at all "
        "these levels, the other two on clean images.",
        "From several copies the AE's codes are averaged, and the VAE's posteriors "
        f"multiplied with the prior counted once, {prior}. In {percent(share, 3)} of "
        "the dimensions that has no positive precision, and the geometric mean of the "
        "posteriors stands in. The product takes the copies for independent given z; "
        "the encoder's posteriors are approximate, so it can be surer than it should.",
    )


def _mean_gap(settings: list[Setting], first: str, second: str) -> Estimate:
    """The mean difference over all settings, its error from seeds and images."""
    score = [(s.score[first], s.score[second]) for s in settings]
    return paired(*np.mean(score, axis=0))


def _sentence(means: list[Estimate], settings: list[Setting]) -> str:
    up, down = _counts(settings, 0)
    return (
        f"The VAE restores images {_better(means[0])} the AE (on average "
        f"{plus_minus(means[0], 2)} dB, {interval(means[0], 2)}; better in {up} of "
        f"{len(settings)} settings, worse in {down}), and the denoising VAE, trained "
        f"for it, {_better(means[1])} the denoising AE ({plus_minus(means[1], 2)} dB, "
        f"{interval(means[1], 2)})."
    )


def _better(gap: Estimate) -> str:
    if not gap.clear:
        return "neither better nor worse, as far as was found, than"
    return "better than" if gap.value > 0 else "worse than"


def _counts(settings: list[Setting], which: int) -> tuple[int, int]:
    gaps = [setting.gaps[which] for setting in settings]
    clear = [gap.value > 0 for gap in gaps if gap.clear]
    return sum(clear), len(clear) - sum(clear)


def _details(settings: list[Setting]) -> str:
    widest = max(settings, key=lambda s: abs(s.gaps[0].value))
    gap = widest.gaps[0]
    best = [max(s.score[name].mean() for name in NAMES) for s in settings]
    pairs = zip(settings, best, strict=True)
    beaten = sum(setting.score["pixels"].mean() > score for setting, score in pairs)
    one, many = (
        {
            n: np.mean([s.score[n] for s in settings if s.amount == a], axis=0)
            for n in NAMES
        }
        for a in AMOUNTS
    )
    gains = ", ".join(f"{plus_minus(paired(many[n], one[n]), 2)} ({n})" for n in NAMES)
    return (
        "For the AE and the VAE, trained on clean images, noise is extrapolation. "
        f"The widest gap between VAE and AE is {plus_minus(gap, 2)} dB "
        f"({interval(gap, 2)}): {widest.kind.name}, {widest.kind.level} "
        f"{widest.level:g}, {widest.amount}. Going from one copy to {NUM_COPIES} "
        f"gains, in dB, {gains}. In {beaten} of {len(settings)} settings the corrupted "
        "pixels themselves, averaged over the copies, are closer to the image than "
        "what any of the four models makes of them."
    )


def _table(settings: list[Setting], kind: Kind, amount: str) -> Table:
    columns = (
        *NAMES,
        DIFFERENCE,
        f"denoising VAE {MINUS} denoising AE",
        "pixels alone",
    )
    rows = tuple(
        Row(
            f"{s.kind.level} {s.level:g}",
            (
                *(over_both(s.score[name]) for name in NAMES),
                *s.gaps,
                over_one(s.score["pixels"]),
            ),
        )
        for s in settings
        if s.kind == kind and s.amount == amount
    )
    return Table(f"PSNR in dB: {kind.name}, {amount}", columns, rows)


def _curves(settings: list[Setting], kind: Kind, amount: str) -> Figure:
    own = [s for s in settings if s.kind == kind and s.amount == amount]
    plot, ax = style.axes(4.2, 3.3)
    for name in (*NAMES, "pixels"):
        mean = over_one if name == "pixels" else over_both
        points = [mean(s.score[name]) for s in own]
        look: style.Look = {
            "color": style.COLORS.get(name, style.REFERENCE),
            "marker": style.MARKERS.get(name, ""),
            "linestyle": "--" if name == "pixels" else "-",
            "label": "pixels alone" if name == "pixels" else name,
        }
        error = [p.standard_error for p in points]
        ax.errorbar(kind.levels, [p.value for p in points], error, capsize=2, **look)
    every = [s.score[name].mean() for s in settings for name in s.score]
    ax.set_ylim(min(every) - 1, max(every) + 1)  # one scale for all four
    ax.set_xscale("log", base=2)
    ax.set_xticks(kind.levels, [signed(level, 2) for level in kind.levels])
    ax.set_title(f"{kind.name}, {amount}")
    ax.set_xlabel(kind.level)
    ax.set_ylabel("PSNR in dB")
    ax.legend()
    return Figure(
        f"denoise_{kind.slug}_{amount.replace(' ', '_')}",
        plot,
        f"{kind.name}, {amount}: PSNR with standard errors, higher is better; dashed, "
        "the corrupted pixels themselves.",
        f"Curves of PSNR against the level of {kind.name} for four models, from "
        f"{amount}.",
    )


def _example(
    settings: list[Setting], kind: Kind, truth: np.ndarray, subject: Subject
) -> Figure:
    """One image at the third level: the copies and what the models make of them."""
    level = kind.levels[2]
    own = [s for s in settings if s.kind == kind and s.level == level]
    images = pictures(
        np.stack([np.stack([truth, *s.examples]) for s in own]), subject.event_shape
    )
    plot, ax = style.axes(4.8, style.heights(images.shape, 4.2, 0.4))
    columns = ["image", "noisy", "AE", "VAE", "den. AE", "den. VAE"]
    style.show(ax, images, rows=["1 copy", f"{NUM_COPIES} copies"], columns=columns)
    return Figure(
        f"denoise_{kind.slug}_example",
        plot,
        f"{kind.name}, {kind.level} {level:g}: one new image, from one copy and from "
        f"{NUM_COPIES}, whose mean is shown.",
        f"Pictures: a clean image, corrupted by {kind.name}, and what four models "
        "restore from one copy and from several.",
    )
