"""Question 2: do the codes separate classes, and which model's separate them better?"""

from typing import NamedTuple

import numpy as np
from sklearn.decomposition import PCA

from experiments.report import style
from experiments.report.finding import Cell, Figure, Finding, Row, Table
from experiments.report.separation import NUM_NEIGHBORS, PROBE, Split, choose, measure
from experiments.report.statistics import (
    DIFFERENCE,
    Estimate,
    interval,
    over_both,
    over_one,
    paired,
    plus_minus,
)
from experiments.report.subject import Subject
from experiments.report.training import Models, codes
from vaejax.base import Key

MAX_TRAIN = 4000  # codes the classifiers are fitted to
Scores = dict[str, np.ndarray]
Source = dict[str, list[Split]]  # codes of each seed; of pixels there is one


class Task(NamedTuple):
    """Classes to tell apart, and what was measured."""

    words: str
    labels: np.ndarray
    table: Table


def classes(models: Models, subject: Subject, key: Key) -> Finding:
    """Fits simple classifiers to training codes and asks them about new images."""
    title = "Two classes and all: which codes separate better?"
    if subject.train_label is None or subject.new_label is None:
        return Finding(title, "This data set has no labels, so there is no answer.")
    source = _codes(models, subject)
    known = np.unique(subject.new_label)
    pair = np.array(subject.classes)
    plans = [(f"classes {pair[0]} and {pair[1]}", pair)]
    if len(known) > 2:
        plans.append((f"all {len(known)} classes", known))
    tasks = [
        Task(words, labels, _table(words, labels, source)) for words, labels in plans
    ]
    fitted = len(source["AE"][0].train)
    return Finding(
        title=title,
        sentence=_sentence(tasks[-1]),
        details=" ".join(_details(task) for task in tasks),
        notes=(
            f"Classifiers and k-means are fitted to the codes of {fitted:,} training "
            f"images and asked about {len(subject.new):,} new ones, of which each task "
            "takes those of its classes. A code is the mean of q(z|x), unscaled except "
            f"for the linear probe; neighbours are the {NUM_NEIGHBORS} nearest. "
            "Differences are paired over seeds and images, the Rand index over seeds. "
            "Raw pixels show what the classifiers can do without a model.",
        ),
        tables=tuple(task.table for task in tasks),
        figures=(
            *(_scatter(source[m][0], m, task) for task in tasks for m in ("AE", "VAE")),
            _forest(tasks),
        ),
    )


def _codes(models: Models, subject: Subject) -> Source:
    """The codes of both models, and pixels, with their labels."""
    images = subject.train[:MAX_TRAIN]
    assert subject.train_label is not None
    assert subject.new_label is not None
    labels = subject.train_label[:MAX_TRAIN], subject.new_label
    pixels = (x.reshape(1, len(x), -1) for x in (images, subject.new))
    both = {"pixels": tuple(pixels)} | {
        t.name: (codes(t, images), codes(t, subject.new))
        for t in (models.ae, models.vae)
    }
    return {
        name: [Split(a, labels[0], b, labels[1]) for a, b in zip(*pair, strict=True)]
        for name, pair in both.items()
    }


def _table(words: str, labels: np.ndarray, source: Source) -> Table:
    scores = {
        model: [measure(choose(split, labels)) for split in splits]
        for model, splits in source.items()
    }
    rows = []
    for name in scores["AE"][0]:
        ae, vae, pixels = (np.stack([x[name] for x in s]) for s in _in_order(scores))
        mean = over_one if ae.ndim == 1 else over_both
        raw: Cell = over_one(pixels[0]) if pixels.ndim > 1 else float(pixels[0])
        rows.append(Row(name, (mean(ae), mean(vae), paired(vae, ae), raw), 3))
    columns = ("AE", "VAE", DIFFERENCE, "raw pixels")
    return Table(words[0].upper() + words[1:], columns, tuple(rows))


def _in_order(scores: dict[str, list[Scores]]) -> tuple[list[Scores], ...]:
    return scores["AE"], scores["VAE"], scores["pixels"]


def _sentence(task: Task) -> str:
    """The linear probe alone."""
    ae, vae, gap, _ = next(row.cells for row in task.table.rows if row.label == PROBE)
    assert isinstance(ae, Estimate)
    assert isinstance(vae, Estimate)
    assert isinstance(gap, Estimate)
    if gap.clear:
        verdict = f"the {'VAE' if gap.value > 0 else 'AE'}'s separate better"
    else:
        verdict = "no difference was found"
    return (
        f"On {task.words}, a linear probe on the codes names "
        f"{plus_minus(vae, 1, 100)} % of new images rightly for the VAE and "
        f"{plus_minus(ae, 1, 100)} % for the AE: {verdict} (difference "
        f"{plus_minus(gap, 1, 100)} points, {interval(gap, 1, 100)})."
    )


def _details(task: Task) -> str:
    """All measures, counted."""
    better = [row.label for row in task.table.rows if _clear(row.cells[2], 1)]
    worse = [row.label for row in task.table.rows if _clear(row.cells[2], -1)]
    total = len(task.table.rows)
    if not better and not worse:
        return f"On {task.words}, no difference was found in any of {total} measures."
    parts = [
        f"the {model} separates better by {len(names)} of {total} measures "
        f"({', '.join(name.removesuffix(' accuracy') for name in names)})"
        for model, names in (("VAE", better), ("AE", worse))
        if names
    ]
    rest = total - len(better) - len(worse)
    tail = f", and no difference was found by the other {rest}" if rest else ""
    return f"On {task.words}, {' and '.join(parts)}{tail}."


def _clear(cell: Cell, sign: int) -> bool:
    return isinstance(cell, Estimate) and cell.clear and cell.value * sign > 0


def _scatter(split: Split, model: str, task: Task) -> Figure:
    """Training codes as dots, new images as crosses, in two principal components."""
    few = len(task.labels) == 2
    num_dots, num_crosses = 150, 60 if few else 15
    here = choose(split, task.labels)
    plane = PCA(2).fit(here.train)
    dots, crosses = plane.transform(here.train), plane.transform(here.new)
    plot, ax = style.axes(4.2, 3.9)
    for i, k in enumerate(task.labels[: len(style.CLASS_COLORS)]):
        color = style.CLASS_COLORS[i]
        old = dots[here.train_label == k][:num_dots]
        new = crosses[here.new_label == k][:num_crosses]
        ax.scatter(old[:, 0], old[:, 1], s=6, color=color, alpha=0.3, linewidths=0)
        look: style.Look = {
            "marker": "X",
            "s": 20,
            "linewidths": 0.4,
            "edgecolors": "white",
        }
        ax.scatter(new[:, 0], new[:, 1], color=color, label=str(k), **look)
    ax.set_title(f"{model}, {task.words}")
    ax.set_xlabel("first principal component of the codes")
    ax.set_ylabel("second principal component")
    place: style.Look = {
        "loc": "upper center",
        "bbox_to_anchor": (0.5, -0.16),
        "ncols": 10,
    }
    ax.legend(**place, handletextpad=-0.3, columnspacing=0.4)
    return Figure(
        f"classes_{'pair' if few else 'all'}_{model.lower()}",
        plot,
        f"{model}: training images (dots) and new ones (crosses), one seed, at most "
        f"{num_dots} and {num_crosses} of a class.",
        f"Scatter plot of the latent codes of the {model}, coloured by {task.words}.",
    )


def _forest(tasks: list[Task]) -> Figure:
    """Every difference with its interval."""
    plot, ax = style.axes(5.2, 3.2)
    for offset, task in zip((-0.14, 0.14), tasks, strict=False):
        face = style.INK if offset < 0 else "white"
        for i, row in enumerate(task.table.rows):
            gap = row.cells[2]
            assert isinstance(gap, Estimate)
            reach = [[gap.value - gap.low], [gap.high - gap.value]]
            look: style.Look = {
                "color": style.INK,
                "markerfacecolor": face,
                "capsize": 2,
            }
            label = task.words if i == 0 else None
            y = i + offset
            ax.errorbar(gap.value, y, xerr=reach, fmt="s", lw=1.2, label=label, **look)
    ax.axvline(0, color=style.REFERENCE, linewidth=1)
    names = [row.label for row in tasks[0].table.rows]
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.set_xlabel(f"{DIFFERENCE} (right of zero: the VAE separates better)")
    ax.legend(loc="upper center", bbox_to_anchor=(0.35, -0.16), ncols=2)
    return Figure(
        "classes_differences",
        plot,
        "Differences between the models with their intervals, paired over seeds and "
        "new images.",
        "Six differences between VAE and auto-encoder for each task, with intervals "
        "and a line at zero.",
    )
