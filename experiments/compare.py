"""The main experiment: what does a VAE give that an auto-encoder does not?

    python -m experiments compare --workdir runs/demo

An auto-encoder, a VAE and their denoising versions, with the same networks, budget and
data, trained from eight seeds each; then seven questions, each answered by a figure, a
number with its standard error, and a sentence that is written from the numbers.
"""

import json
import math
import time
from pathlib import Path
from typing import Any, Literal

import jax

from experiments import progress
from experiments.errors import UserError
from experiments.optimizer import check_learning_rate
from experiments.report import style
from experiments.report import subject as subjects
from experiments.report.classes import classes as ask_classes
from experiments.report.cost import cost
from experiments.report.denoise import denoise
from experiments.report.encode_once import encode_once
from experiments.report.explore import explore
from experiments.report.finding import Figure, Finding, finding_json
from experiments.report.generate import generate
from experiments.report.likelihood import likelihood as ask_likelihood
from experiments.report.overview import overview, samples
from experiments.report.page import page
from experiments.report.training import Settings, train_all
from experiments.scoring import check_seed

NUM_STEPS = 2700  # of every model, unless --num-epochs says otherwise
MIN_EPOCHS = 5
NUM_MODELS = 6

QUESTIONS = (encode_once, ask_classes, denoise, generate, explore, ask_likelihood, cost)


def compare(
    *,
    dataset: str = "digits",
    data_dir: str | None = None,
    classes: tuple[int, int] = (0, 1),
    num_images: int | None = None,
    num_seeds: int = 8,
    num_epochs: int | None = None,
    latent_dim: int = 16,
    hidden: tuple[int, ...] = (256,),
    likelihood: Literal["bernoulli", "normal"] = "bernoulli",
    batch_size: int = 64,
    learning_rate: float = 1e-3,
    seed: int = 0,
    workdir: str = "runs/demo",
) -> dict[str, Any]:
    """Trains auto-encoder and VAE side by side and writes a report on seven questions.

    Writes report.html, report.json and figures/*.png. Labels are optional, and so is
    being an image: what needs either is left out, and the report says so.

    Args:
      dataset: digits, mnist, fashion_mnist, sprites, idx:FOLDER, npz:FILE or
        tfds:NAME.
      data_dir: folder of the files of mnist and fashion_mnist, or of tfds: sets.
      classes: the two classes that question 2 tells apart.
      num_images: how many training images to use; default all.
      num_seeds: how many times each model is trained, at least 2: error bars need them.
      num_epochs: default about 2,700 steps, and at least 5 epochs.
      latent_dim: how many numbers describe an image.
      hidden: widths of the encoder; the decoder has them in reverse.
      likelihood: of all models: bernoulli, on images binarised anew each time they are
        seen, or normal with a learned scale, on their intensities.
      batch_size: examples per step.
      learning_rate: of Adam.
      seed: of everything that is random.
      workdir: where the report goes.

    Returns:
      Where the report lies, and its sentences.

    Raises:
      UserError: if the settings or the data leave nothing to compare.
    """
    start = time.perf_counter()
    check_seed(seed)
    check_learning_rate(learning_rate)
    if any(width < 1 for width in hidden):
        raise UserError(f"hidden must be widths of at least 1, got {tuple(hidden)}.")
    try:
        (Path(workdir) / "figures").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"workdir {workdir}: {error.strerror}.") from error
    if num_seeds < 2 or latent_dim < 2:
        raise UserError(
            "A report needs num_seeds and latent_dim of at least 2, got "
            f"{num_seeds} and {latent_dim}."
        )
    subject = subjects.load(
        dataset, data_dir=data_dir, classes=classes, num_images=num_images, seed=seed
    )
    if num_epochs is None:
        num_epochs = max(
            MIN_EPOCHS, math.ceil(NUM_STEPS * batch_size / len(subject.train))
        )
    if not 1 <= batch_size <= len(subject.train) or num_epochs < 1:
        raise UserError(
            f"batch_size must be from 1 to {len(subject.train)}, the training images, "
            f"and num_epochs at least 1, got {batch_size} and {num_epochs}."
        )
    settings = Settings(
        num_seeds,
        num_epochs,
        latent_dim,
        tuple(hidden),
        batch_size,
        learning_rate,
        likelihood,
    )
    train_key, question_key = jax.random.split(jax.random.key(seed))
    with progress.bar("training", NUM_MODELS * num_epochs) as advance:
        models = train_all(train_key, subject.train, settings, advance)
    trained = time.perf_counter()

    keys = jax.random.split(question_key, len(QUESTIONS))
    findings: list[Finding] = []
    with style.applied(subject.is_ink):
        with progress.bar("questions", len(QUESTIONS)) as advance:
            for question, key in zip(QUESTIONS, keys, strict=True):
                findings.append(question(models, subject, key))
                advance(1)
        figures = [samples(subject), *(f for found in findings for f in found.figures)]
        report = overview(models, subject, seed, figures[0])
        report["findings"] = [finding_json(finding) for finding in findings]
        report["settings"]["training_seconds"] = round(trained - start, 1)
        report["settings"]["total_seconds"] = round(time.perf_counter() - start, 1)
        write(report, figures, Path(workdir))
    return {
        "report": str(Path(workdir) / "report.html"),
        "workdir": workdir,
        "dataset": dataset,
        "findings": [finding.sentence for finding in findings],
        "seconds": report["settings"]["total_seconds"],
    }


def write(report: dict[str, Any], figures: list[Figure], folder: Path) -> None:
    """Writes the pictures, `report.json`, and from these two the page."""
    for figure in figures:
        style.save(figure.plot, folder / "figures" / f"{figure.name}.png")
    text = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / "report.json").write_text(text + "\n", encoding="utf-8")
    (folder / "report.html").write_text(page(report, folder), encoding="utf-8")
