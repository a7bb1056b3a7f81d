"""Every part in turn, and what of it is written."""

import json
import tempfile
from pathlib import Path
from typing import Any

import jax

from experiments import progress
from experiments.errors import UserError
from experiments.evaluation import latents, likelihood, samples
from experiments.evaluation.findings import report_of
from experiments.evaluation.subject import NotMeasuredError, Subject
from experiments.report import style
from experiments.report.page import document
from experiments.workdir import finite, write_text

PARTS = {
    "distortion": likelihood.distortion,
    "likelihood": likelihood.likelihood,
    "decomposition": likelihood.decomposition,
    "inference_gap": likelihood.inference_gap,
    "rate_per_dimension": latents.rates,
    "active_units": latents.active_units,
    "calibration": latents.calibration,
    "latent_structure": latents.structure,
    "disentanglement": latents.disentanglement,
    "sample_quality": samples.quality,
}
OWN_KEY = 1000  # beyond the root keys of a run, which are folds of its seed too


def evaluate_all(subject: Subject, folder: Path) -> dict[str, Any]:
    """Writes `evaluation.json` and `evaluation.html` into a folder.

    Returns:
      Where they are, and the parts that could not be measured, with the reason.

    Raises:
      ExceptionGroup: if parts failed, once the others are written.
    """
    parts, errors = measured(subject)
    result = finite(
        {
            "dataset": subject.name,
            "num_images": len(subject.held_out.x),
            "num_particles": subject.num_particles,
            "step": int(subject.run.state.step),
            "seed": subject.seed,
            "model": subject.run.settings["model"],
            "parts": parts,
        }
    )
    text = json.dumps(result, indent=1, allow_nan=False) + "\n"
    write_text(folder / "evaluation.json", text)
    write_text(folder / "evaluation.html", page(subject, result))
    if errors:
        names = ", ".join(n for n, p in parts.items() if p["failed"])
        raise ExceptionGroup(f"{names} failed; {folder} has the other parts", errors)
    return {
        "evaluation": str(folder / "evaluation.json"),
        "page": str(folder / "evaluation.html"),
        "dataset": subject.name,
        "num_images": len(subject.held_out.x),
        "num_particles": subject.num_particles,
        "left_out": {n: p["reason"] for n, p in parts.items() if p["reason"]},
    }


def measured(subject: Subject) -> tuple[dict[str, Any], list[Exception]]:
    """The values of every part or the reason why there are none, and what failed."""
    key = jax.random.fold_in(jax.random.key(subject.seed), OWN_KEY)
    parts: dict[str, Any] = {}
    errors: list[Exception] = []
    with progress.bar("measuring", len(PARTS)) as advance:
        for i, (name, measure) in enumerate(PARTS.items()):
            part: dict[str, Any] = {"values": None, "reason": None, "failed": False}
            try:
                part["values"] = measure(jax.random.fold_in(key, i), subject)
            except (NotMeasuredError, UserError) as error:
                part["reason"] = str(error)
            except Exception as error:  # the other parts are not lost by it
                part |= {"reason": f"{type(error).__name__}: {error}", "failed": True}
                error.add_note(f"while measuring {name}")
                errors.append(error)
            parts[name] = part
            advance(1)
    return parts, errors


def page(subject: Subject, result: dict[str, Any]) -> str:
    """The page; its figures are drawn in a folder that is gone afterwards."""
    key = jax.random.fold_in(jax.random.key(subject.seed), OWN_KEY + 1)
    with tempfile.TemporaryDirectory() as name:
        report, figures = report_of(key, subject, result)
        (Path(name) / "figures").mkdir()
        for figure in figures:
            style.save(figure.plot, Path(name) / "figures" / f"{figure.name}.png")
        title = f"Evaluation on {subject.name}"
        return document(report, Path(name), title, "Part")
