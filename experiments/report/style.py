"""One look for every figure: colours, sizes, mosaics of images."""

import contextlib
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.report.statistics import over_one

# Okabe and Ito's palette, which readers with any colour vision can tell apart. An
# auto-encoder is always warm, a VAE always blue; denoising is the lighter one.
COLORS = {
    "AE": "#D55E00",
    "VAE": "#0072B2",
    "denoising AE": "#E69F00",
    "denoising VAE": "#56B4E9",
}
MARKERS = {"AE": "o", "VAE": "s", "denoising AE": "^", "denoising VAE": "D"}
REFERENCE = "#6B6B6B"
INK = "#22262B"
# Ten classes: Paul Tol's muted scheme.
CLASS_COLORS = (
    "#332288", "#CC6677", "#117733", "#DDCC77", "#88CCEE",
    "#882255", "#44AA99", "#999933", "#AA4499", "#777777",
)  # fmt: skip

Look = dict[str, Any]  # keyword arguments of matplotlib
RC: Any = {
    "figure.dpi": 160,
    "savefig.dpi": 160,
    "font.size": 9,
    "font.family": "DejaVu Sans",
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.edgecolor": "#9AA0A6",
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E6E8EB",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "xtick.color": "#5A6068",
    "ytick.color": "#5A6068",
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "image.interpolation": "nearest",
}

SIZE = (4.6, 3.4)  # inches: one column on a desk, the whole width on a phone


def axes(width: float = SIZE[0], height: float = SIZE[1]) -> tuple[Figure, Axes]:
    """An empty figure and its axes; call it, and draw, within `applied()`."""
    plot = Figure(figsize=(width, height), layout="constrained")
    ax: Axes = plot.subplots()
    return plot, ax


def applied(is_ink: bool = True) -> contextlib.AbstractContextManager[None]:
    """The house style, for as long as the context lasts.

    Args:
      is_ink: whether images are ink on paper, 0 white and 1 black, or light.
    """
    return mpl.rc_context(RC | {"image.cmap": "gray_r" if is_ink else "gray"})


def save(plot: Figure, path: Path) -> None:
    """Writes a PNG that names no software: same numbers, same file."""
    plot.savefig(path, format="png", metadata={"Software": None})


def dots(ax: Axes, y: int, values: np.ndarray, color: str) -> None:
    """A row of dots, one for each value, and a bar at their mean with its error."""
    mean = over_one(values)
    ax.plot(values, np.full(len(values), y), "o", color=color, alpha=0.35)
    bar: Look = {"fmt": "|", "color": color, "markersize": 14, "capsize": 3}
    ax.errorbar(mean.value, y, xerr=mean.standard_error, **bar)


def mosaic(images: np.ndarray, gap: int = 1) -> np.ndarray:
    """Pictures `[rows, columns, H, W]` (or `[.., 3]`) as one, a gap between them.

    The gap is NaN where pictures are grey, and drawn in white.
    """
    rows, columns, height, width = images.shape[:4]
    color = images.shape[4:]
    shape = (rows * (height + gap) - gap, columns * (width + gap) - gap, *color)
    out = np.full(shape, 1.0 if color else np.nan, np.float32)
    for r in range(rows):
        for c in range(columns):
            top, left = r * (height + gap), c * (width + gap)
            out[top : top + height, left : left + width] = images[r, c]
    return out


def show(
    ax: Axes,
    images: np.ndarray,
    *,
    title: str = "",
    rows: list[str] | None = None,
    columns: list[str] | None = None,
) -> None:
    """Draws pictures `[rows, columns, H, W]` as a mosaic with labels at its edges."""
    height, width = images.shape[2:4]
    gap = max(1, round(height / 14))
    ax.imshow(mosaic(images, gap), vmin=0, vmax=1, aspect="equal")
    ax.grid(False)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    at_rows = [r * (height + gap) + (height - 1) / 2 for r in range(images.shape[0])]
    at_columns = [c * (width + gap) + (width - 1) / 2 for c in range(images.shape[1])]
    ax.set_yticks(at_rows if rows else [], rows or [])
    ax.set_xticks(at_columns if columns else [], columns or [])
    ax.xaxis.tick_top()
    if title:
        ax.set_title(title)


def heights(images_shape: tuple[int, ...], width: float, extra: float) -> float:
    """The height in inches of a figure that holds a mosaic of this width."""
    rows, columns, height, wide = images_shape[:4]
    return width * rows * height / (columns * wide) + extra
