"""What stands above and below the seven answers: the data, the models, the settings."""

from typing import Any

import jax

from experiments.report import style
from experiments.report.finding import Figure
from experiments.report.statistics import LEVEL, percent
from experiments.report.subject import Subject, is_picture, pictures
from experiments.report.training import Models
from vaejax import networks


def overview(
    models: Models, subject: Subject, seed: int, figure: Figure
) -> dict[str, Any]:
    """The report but for its findings.

    Args:
      models: what was trained.
      subject: what it was trained on.
      seed: of everything that is random.
      figure: what stands above all else.
    """
    settings = models.settings
    return {
        "title": subject.title,
        "summary": (
            "An auto-encoder (AE) gives each image one code; a variational "
            "auto-encoder (VAE) gives it a distribution. Both were trained from "
            f"{settings.num_seeds} seeds with the same networks, the same budget and "
            "the same data, and asked about images they had not seen."
        ),
        "samples": {
            "file": f"figures/{figure.name}.png",
            "caption": figure.caption,
            "alt": figure.alt,
        },
        "notes": [*subject.notes, *_notes(models, subject)],
        "settings": {
            "dataset": subject.name,
            "event_shape": list(subject.event_shape),
            "num_train_images": len(subject.train),
            "num_new_images": len(subject.new),
            "seed": seed,
            **settings._asdict(),
            "hidden": list(settings.hidden),
            "jax": jax.__version__,
            "device": jax.devices()[0].platform,
            "final_loss": {t.name: float(t.loss[-1].mean()) for t in models.four},
        },
    }


def _notes(models: Models, subject: Subject) -> list[str]:
    settings = models.settings
    widths = "-".join(str(width) for width in settings.hidden)
    activation = networks.mlp(hidden=settings.hidden).activation.upper()
    notes = [
        f"All models: {activation} layers of {widths} units to "
        f"{settings.latent_dim} latent dimensions and back, Adam at "
        f"{settings.learning_rate:g}, {settings.num_epochs} epochs of "
        f"batches of {settings.batch_size}, {settings.num_seeds} seeds. Equal "
        "seeds see the data in the same order, so differences are paired.",
        {
            "bernoulli": "Likelihood of all four: Bernoulli, on bits drawn afresh from "
            "the intensities each time an image is seen in training. Encoders are then "
            "shown intensities, but for the likelihoods of the sixth question, which "
            "need bits.",
            "normal": "Likelihood of all four: normal with one learned scale, on "
            "intensities.",
        }[settings.likelihood],
        f"a ± b is a mean and its standard error. Intervals are of {percent(LEVEL)} "
        "confidence, over seeds and images as crossed random samples where both vary. "
        "Each stands alone: none is corrected for how many there are. A difference is "
        "called one only if its interval leaves out zero.",
    ]
    if not is_picture(subject.event_shape):
        notes.append(
            f"Events of shape {subject.event_shape} are no images: pictures show their "
            "values wrapped in rows."
        )
    return notes


def samples(subject: Subject) -> Figure:
    """A few training images."""
    images = pictures(subject.train[:24], subject.event_shape)
    columns = min(12, len(images))
    rows = len(images) // columns
    grid = images[: rows * columns].reshape(rows, columns, *images.shape[1:])
    plot, ax = style.axes(6.4, style.heights(grid.shape, 6.3, 0.05))
    style.show(ax, grid)
    return Figure(
        "samples",
        plot,
        f"Training images of {subject.title}.",
        "Two rows of training images.",
    )
