"""What a sweep has found: every run measured, a table by beta, and a figure."""

import contextlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import vaejax
from experiments.evaluate import Images, has_likelihood
from experiments.evaluation.latents import factor_scores
from experiments.evaluation.subject import NotMeasuredError, ask, some
from experiments.report import style
from experiments.scoring import score
from experiments.workdir import Run, write_json, write_text

OWN_KEY = 3000  # beyond the root keys of a run, which are folds of its seed too
SCORES = ("elbo", "log_likelihood", "distortion", "rate")
NAMES = {  # of the columns of `sweep.md`
    "elbo": "ELBO",
    "log_likelihood": "log p(x)",
    "distortion": "distortion",
    "rate": "rate",
    "active_units": "active units",
    "mutual_information_gap": "MIG",
    "dci_disentanglement": "DCI",
    "factor_vae_score": "FactorVAE score",
}


class Row(NamedTuple):
    """A line of the table: the runs of one beta."""

    beta: float | None
    runs: int  # that did not diverge, out of all seeds
    mean: dict[str, float | None]
    standard_error: dict[str, float | None]  # over seeds; null for one


def measured(
    run: Run, images: Images, num_images: int, num_particles: int
) -> dict[str, float | None]:
    """Scores of a run on held-out images, the same images for every run of a sweep.

    Args:
      run: a member of the sweep.
      images: to look at.
      num_images: how many of them, at most.
      num_particles: posterior samples per image of log p(x).

    Returns:
      Means over images in nats, `active_units`, and of sprites the scores of
      disentanglement; null where a model has no such number.
    """
    seed = run.settings["training"]["seed"]
    chosen = some(run, images.split, images.scale, num_images, 0)
    is_likelihood = has_likelihood(run, images)
    model, params = run.model, run.state.params
    scores = score(
        seed, model, params, chosen.x, num_particles, is_likelihood=is_likelihood
    )
    found = {name: scores[name] for name in SCORES} | {"active_units": None}
    with contextlib.suppress(NotMeasuredError):
        units = ask(
            lambda params, x: vaejax.evaluate.active_units(model, params, x),
            params,
            chosen.x,
        )
        found["active_units"] = int(units.num_active)
    with contextlib.suppress(NotMeasuredError):  # the factors of most are not known
        key = jax.random.fold_in(jax.random.key(seed), OWN_KEY)
        factors = factor_scores(key, run, images.name, chosen)
        found |= {name: float(score.value) for name, score in factors.items()}
    return found


def table_of(
    betas: Sequence[float | None], found: Sequence[dict[str, float | None] | None]
) -> list[Row]:
    """Means and standard errors over the seeds of each beta, in their order.

    Args:
      betas: of every run.
      found: what `measured` gave of it, None where it diverged.
    """
    names = next((list(one) for one in found if one is not None), [])
    rows = []
    for beta in dict.fromkeys(betas):
        runs = [
            one
            for own, one in zip(betas, found, strict=True)
            if own == beta and one is not None
        ]
        columns = {name: [one[name] for one in runs] for name in names}
        both = {name: _mean_and_error(values) for name, values in columns.items()}
        rows.append(
            Row(
                beta,
                len(runs),
                {name: mean for name, (mean, _) in both.items()},
                {name: error for name, (_, error) in both.items()},
            )
        )
    return rows


def _mean_and_error(
    values: list[float | None],
) -> tuple[float | None, float | None]:
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None, None
    error = np.std(known, ddof=1) / math.sqrt(len(known)) if len(known) > 1 else None
    return float(np.mean(known)), None if error is None else float(error)


def write(path: Path, table: list[Row], runs: list[dict[str, Any]]) -> None:
    """Writes `sweep.json`, `sweep.md` and `sweep.png`.

    Args:
      path: the folder.
      table: what `table_of` gave.
      runs: of each run its name, seed, beta and what was `measured`.
    """
    lines = [row._asdict() for row in table]
    write_json(path / "sweep.json", {"table": lines, "runs": runs})
    write_text(path / "sweep.md", markdown(table))
    with style.applied():
        style.save(figure(table, runs), path / "sweep.png")


def markdown(table: list[Row]) -> str:
    """The table for people, without the columns that nobody could fill."""
    names = [
        name for name in NAMES if any(row.mean.get(name) is not None for row in table)
    ]
    has_beta = any(row.beta is not None for row in table)
    heads = [*(["beta"] if has_beta else []), "runs", *(NAMES[name] for name in names)]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in table:
        cells = [*([f"{row.beta:g}"] if has_beta else []), str(row.runs)]
        cells += [_cell(row.mean.get(n), row.standard_error.get(n)) for n in names]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(mean: float | None, error: float | None) -> str:
    """A mean to two digits of its error, or to four digits where there is none."""
    if mean is None:
        return ""
    if not error:
        return f"{mean:.4g}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    return f"{mean:.{digits}f} ± {error:.{digits}f}"


def figure(table: list[Row], runs: list[dict[str, Any]]) -> Any:
    """Every run in the plane of rate and distortion, and the means of each beta.

    On a line of slope -1 the ELBO is the same (Alemi et al., 2018,
    https://arxiv.org/abs/1711.00464, figure 1).
    """
    plot, ax = style.axes()
    known = [run for run in runs if run.get("rate") is not None]
    if not known:  # auto-encoders: their distortion alone
        values = [run["distortion"] for run in runs if run.get("distortion")]
        ax.plot(values, np.zeros(len(values)), "o", color=style.COLORS["AE"])
        ax.set_yticks([])
        ax.set_xlabel("distortion, nats")
        return plot
    color = style.COLORS["VAE"]
    ax.plot(
        [run["rate"] for run in known],
        [run["distortion"] for run in known],
        "o",
        color=color,
        alpha=0.3,
    )
    means = [row for row in table if row.mean.get("rate") is not None]
    at = np.array([[row.mean["rate"], row.mean["distortion"]] for row in means], float)
    bars = [
        [row.standard_error[name] or 0.0 for row in means]
        for name in ("rate", "distortion")
    ]
    look: style.Look = {"fmt": "-", "color": color, "capsize": 2}
    ax.errorbar(at[:, 0], at[:, 1], xerr=bars[0], yerr=bars[1], **look)
    ax.margins(x=0.12)  # for the words beside the last
    ax.set_xlim(left=min(0.0, ax.get_xlim()[0]))
    best = min(at.sum(axis=1))
    ends = np.array(ax.get_xlim())
    limits = ax.get_ylim()
    ax.plot(ends, best - ends, ":", color=style.REFERENCE)  # of the best ELBO
    ax.set_ylim(limits)
    words = [None if row.beta is None else f"{row.beta:g}" for row in means]
    near = 0.03 * np.array([np.ptp(ends), np.ptp(limits)])
    for here, text in _together(at, words, near):
        ax.annotate(f"β = {text}", here, (6, 6), textcoords="offset points", fontsize=8)
    ax.set_xlabel("rate KL(q(z|x) || p(z)), nats")
    ax.set_ylabel("distortion -E log p(x|z), nats")
    return plot


def _together(
    at: np.ndarray, words: list[str | None], near: np.ndarray
) -> list[tuple[tuple[float, float], str]]:
    """Words at their places `[N, 2]`, those of places that are near in one line."""
    lines: list[tuple[np.ndarray, list[str]]] = []
    for here, word in zip(at, words, strict=True):
        if word is None:
            continue
        if lines and (abs(here - lines[-1][0]) < near).all():
            lines[-1][1].append(word)
        else:
            lines.append((here, [word]))
    return [((float(x), float(y)), ", ".join(texts)) for (x, y), texts in lines]
