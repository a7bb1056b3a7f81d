"""Rounds in which contenders take turns, and the figures of them."""

import contextlib
import statistics
from pathlib import Path

import numpy as np

from experiments.peers.turns import Run, contender, interleaved, say
from experiments.peers.worker import Answer


def save(folder: str, name: str, array: np.ndarray) -> Path:
    """The file that holds an array, for another process."""
    path = Path(folder, f"{name}.npy")
    np.save(path, array)
    return path


def time_epochs(
    files: dict[str, tuple[str, Path]], num_pairs: int, num_epochs: int, seed: int
) -> dict[str, list[Answer]]:
    """Runs of every contender, `(program, images)`, after one that compiles."""
    with contextlib.ExitStack() as stack:
        runs = {}
        for who, (program, images) in files.items():
            run = stack.enter_context(contender(program, images, seed))
            runs[who] = repeated(run, num_epochs)
        say("warm-up and compilation")
        interleaved(runs, 1)
        say(f"{num_pairs} rounds of {', '.join(runs)}")
        return interleaved(runs, num_pairs)


def grey_images(
    dataset: str | None, data_dir: str | None, num_images: int, seed: int
) -> tuple[np.ndarray, str]:
    """At most `num_images` images `[N, D]` of 0 to 255 in uint8, and what they are."""
    if dataset is not None:
        from vaejax.data import load

        loaded = load(dataset, data_dir=data_dir, validation_fraction=0)
        image = loaded.train.image[:num_images]
        grey = np.round(image.reshape(len(image), -1) / loaded.scale * 255)
        return grey.astype(np.uint8), f"{len(grey):,} training images of {dataset}"
    generator = np.random.default_rng(seed)
    codes = generator.standard_normal((num_images, 10), np.float32)
    logits = codes @ generator.standard_normal((10, 784), np.float32)
    grey = (255 / (1 + np.exp(-logits))).astype(np.uint8)
    return grey, f"{num_images:,} random images of 28 x 28"


def repeated(run: Run, num_epochs: int) -> Run:
    """Several epochs as one run: the sum of the seconds, the value of the last."""

    def several() -> Answer:
        answers = [run() for _ in range(num_epochs)]
        return Answer(sum(answer.seconds for answer in answers), answers[-1].value)

    return several


def summary(values: list[float]) -> dict[str, float]:
    """Median and range."""
    return {
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
    }


def ratios(slow: list[float], fast: list[float]) -> list[float]:
    """One ratio a round."""
    return [s / f for s, f in zip(slow, fast, strict=True)]


def spread(figure: dict[str, float], form: str = ".2f") -> str:
    """A median and its range."""
    return (
        f"{figure['median']:{form}} ({figure['min']:{form}} to {figure['max']:{form}})"
    )
