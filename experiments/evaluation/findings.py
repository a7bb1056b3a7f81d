"""The page of `evaluate --all` in sentences, tables and figures, from its numbers."""

import math
from typing import Any

import jax

from experiments.evaluation import figures
from experiments.evaluation.subject import Subject
from experiments.report import style
from experiments.report.finding import Figure, Finding, Row, Table, finding_json
from experiments.report.statistics import signed
from vaejax.base import Key

Parts = dict[str, Any]  # `values` and `reason` by name, as in evaluation.json


def report_of(
    key: Key, subject: Subject, result: dict[str, Any]
) -> tuple[dict[str, Any], list[Figure]]:
    """What `document` renders, and the figures it asks for."""
    parts: Parts = result["parts"]
    hero_key, near_key = jax.random.split(key)
    with style.applied(figures.is_ink(subject)):
        hero = figures.overview(hero_key, subject)
        findings = [
            _likelihood(parts, result["num_images"]),
            _dimensions(parts, subject),
            _inference(parts),
            _meaning(parts),
            _samples(near_key, parts, subject),
        ]
    drawn = [hero, *(figure for finding in findings for figure in finding.figures)]
    model = result["model"]
    names = [model["name"]] + [
        part["name"] for part in model.values() if isinstance(part, dict)
    ]
    report = {
        "summary": f"{', '.join(names)}, after {result['step']:,} steps, asked about "
        f"{result['num_images']:,} images of {subject.name}. Numbers are in nats "
        "and have their standard errors.",
        "samples": {
            "file": f"figures/{hero.name}.png",
            "caption": hero.caption,
            "alt": hero.alt,
        },
        "findings": [finding_json(finding) for finding in findings],
        "notes": [
            "All of it is in evaluation.json, by the same names. What a number is, is "
            "said in the docstring of its function in vaejax.evaluate.",
        ],
        "settings": {
            name: result[name] for name in ("num_particles", "num_images", "seed")
        }
        | model,
    }
    return report, drawn


def _likelihood(parts: Parts, num_images: int) -> Finding:
    values = parts["likelihood"]["values"]
    if values is None:
        sentence = _reasons(parts, "likelihood")
    else:
        sentence = (
            f"log p(x) is at least {_said(values['log_likelihood'])} nats, the ELBO "
            f"{_said(values['elbo'])}."
        )
        if values["bits_per_dimension"]:
            bits = _said(values["bits_per_dimension"])
            sentence += f" That is {bits} bits per dimension."
        share = values["pareto_k_above_0.7"]
        if share:
            sentence += (
                f" For {100 * share['value']:.0f} % of the images Pareto's k is above "
                "0.7: their estimates are not to be trusted."
            )
    parted, ceiling = parts["decomposition"]["values"], math.log(num_images)
    if parted and parted["mutual_information"]["value"] > 0.95 * ceiling:
        sentence += (
            " Codes tell all these images apart: their mutual information is at its "
            f"ceiling, {ceiling:.2f} nats, the logarithm of the number of images."
        )
    tables = [
        _table("Estimates", values),
        _table("Where the ELBO goes", parted),
        _table("Distortion of any model", parts["distortion"]["values"]),
    ]
    return Finding(
        "How likely are new images?",
        sentence,
        _reasons(parts, "decomposition"),
        tables=_there(tables),
    )


def _dimensions(parts: Parts, subject: Subject) -> Finding:
    rates, units = (
        parts[name]["values"] for name in ("rate_per_dimension", "active_units")
    )
    sentence = _reasons(parts, "active_units")
    drawn = [figures.traversal(subject)]
    tables = []
    if units is not None:
        sentence = (
            f"{units['num_active']} of {units['num_dimensions']} dimensions are "
            "active: the variance of their posterior mean over images is above 0.01."
        )
        columns = {"variance of the mean": units["variance"]}
        if rates is not None:
            columns["rate"] = rates["rate_per_dimension"]
        tables.append(_by_dimension(columns))
    if rates is not None:
        drawn.insert(0, figures.rates(rates))
    return Finding(
        "What does each dimension carry?",
        sentence,
        _reasons(parts, "rate_per_dimension"),
        tables=tuple(tables),
        figures=tuple(drawn),
    )


def _inference(parts: Parts) -> Finding:
    gap, ranks = (parts[name]["values"] for name in ("inference_gap", "calibration"))
    said, drawn = [], []
    if gap is not None:
        said.append(
            f"The encoder loses {_said(gap['amortization_gap'])} nats against the "
            "best diagonal normal of each image, and that family "
            f"{_said(gap['approximation_gap'])} against the posterior "
            f"({gap['num_images']} images)."
        )
    if ranks is not None:
        drawn.append(figures.calibration(ranks))
        p = ranks["smallest_p_value_corrected"]
        verdict = "is rejected" if p < 0.05 else "is not rejected"
        said.append(
            f"That q(z|x) is the posterior of this model {verdict} (simulation-based "
            "calibration, the smallest of all dimensions, corrected for their number: "
            f"{figures.p_value(p)})."
        )
    return Finding(
        "Is q(z|x) the posterior?",
        " ".join(said) or _reasons(parts, "inference_gap", "calibration"),
        _reasons(parts, "inference_gap", "calibration") if said else "",
        tables=_there([_table("Gaps", gap)]),
        figures=tuple(drawn),
    )


def _meaning(parts: Parts) -> Finding:
    names = ("latent_structure", "disentanglement")
    structure, axes = (parts[name]["values"] for name in names)
    said = []
    if structure is not None:
        said.append(
            "A line tells the classes of new codes with accuracy "
            f"{_said(structure['probe_accuracy'])}, clusters that saw no label "
            f"with {_said(structure['k_means_accuracy'])}."
        )
    if axes is not None:
        said.append(
            "The mutual information gap of axes and factors is "
            f"{_said(axes['mutual_information_gap'])}."
        )
    return Finding(
        "Do codes mean something?",
        " ".join(said) or _reasons(parts, *names),
        _reasons(parts, *names) if said else "",
        tables=_there([_table("Classes", structure), _table("Axes and factors", axes)]),
    )


def _samples(key: Key, parts: Parts, subject: Subject) -> Finding:
    title, values = "Are samples like data?", parts["sample_quality"]["values"]
    if values is None:
        return Finding(title, _reasons(parts, "sample_quality"))
    about, sampled = values["features"], values["samples"]
    known = values["training_images"]
    words = "pixels"
    if about["kind"] == "classifier":
        words = f"{about['sha256'][:12]} ({about['accuracy']:.3f})"
    rows = tuple(
        Row(name, (sampled[name], known.get(name), words), _decimals(sampled[name]))
        for name in sampled
    )
    distance = "kernel_distance"
    notes = [
        "A distance is between as many held-out images and samples, or training images "
        "in the second column, which says what perfect samples would have. Samples are "
        "means of p(x|z).",
    ]
    if about["kind"] == "classifier":
        notes.append(
            f"Features: classifier of {about['dataset']}, seed {about['seed']}, "
            f"accuracy {about['accuracy']:.4f}, SHA-256 of its parameters "
            f"{about['sha256']}. Numbers of another hash do not compare. It is made "
            f"again by python -m experiments classifier --dataset {about['dataset']} "
            f"--seed {about['seed']}."
        )
    else:
        notes.append("Without labels there is no classifier: features are pixels.")
    return Finding(
        title,
        f"The kernel distance of samples from new images is "
        f"{_said(sampled[distance])}, that of training images "
        f"{_said(known[distance])}; that both are draws of one law has p = "
        f"{sampled['two_sample_p_value']['value']:.3g} for samples.",
        notes=tuple(notes),
        tables=(
            Table(
                "Distance from new images",
                ("samples", "training images", "features (accuracy)"),
                rows,
            ),
        ),
        figures=(figures.neighbours(key, subject),),
    )


def _said(value: dict[str, Any]) -> str:
    decimals = _decimals(value)
    if value["standard_error"] is None:
        return signed(value["value"], decimals)
    return (
        f"{signed(value['value'], decimals)}\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}"
        f"{signed(value['standard_error'], decimals)}"
    )


def _decimals(value: Any) -> int:
    """So many that two digits of the error are shown; 4 where there is none."""
    error = value["standard_error"] if isinstance(value, dict) else None
    return max(0, 1 - math.floor(math.log10(error))) if error else 4


def _reasons(parts: Parts, *names: str) -> str:
    """Why parts are not there, in words."""
    return " ".join(
        f"{name.replace('_', ' ').capitalize()}: {parts[name]['reason']}"
        for name in names
        if parts[name]["reason"]
    )


def _table(caption: str, values: dict[str, Any] | None) -> Table | None:
    if values is None:
        return None
    rows = tuple(
        Row(name.replace("_", " "), (value,), 4) for name, value in values.items()
    )
    return Table(caption, ("value",), rows)


def _there(tables: list[Table | None]) -> tuple[Table, ...]:
    return tuple(table for table in tables if table is not None)


def _by_dimension(columns: dict[str, dict[str, Any]]) -> Table:
    (first, *_) = columns.values()
    rows = []
    for d in range(len(first["value"])):
        cells = tuple(
            {name: vector[d] for name, vector in column.items()}
            for column in columns.values()
        )
        rows.append(Row(f"z{d + 1}", cells, 4))
    return Table("Dimensions", tuple(columns), tuple(rows))
