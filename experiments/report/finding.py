"""What a question's file returns: a sentence, numbers in tables, figures."""

import math
from typing import Any, NamedTuple

from matplotlib.figure import Figure as Plot

from experiments.report.statistics import Estimate

# A dictionary has `value` and `standard_error`; None means that it does not apply.
Cell = Estimate | dict[str, Any] | float | int | str | None


class Row(NamedTuple):
    """One quantity, for each column of its table."""

    label: str
    cells: tuple[Cell, ...]
    decimals: int = 2


class Table(NamedTuple):
    """Numbers, each an `Estimate` where it has a standard error."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


class Figure(NamedTuple):
    """A picture, the name of its file, and words for those who do not see it."""

    name: str
    plot: Plot
    caption: str
    alt: str


class Finding(NamedTuple):
    """The answer to one question."""

    title: str
    sentence: str  # what was found, written from the numbers
    details: str = ""  # what else was
    notes: tuple[str, ...] = ()  # how it was measured, and what to beware of
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()


def cell_json(cell: Cell) -> Any:
    """A number, an object with its error and interval, or null; never NaN."""
    if isinstance(cell, Estimate):
        return {name: cell_json(value) for name, value in cell._asdict().items()}
    if isinstance(cell, float) and not math.isfinite(cell):
        return None
    return cell


def finding_json(finding: Finding) -> dict[str, Any]:
    """All of a finding that is not a picture, from which the page is made."""
    return {
        "title": finding.title,
        "sentence": finding.sentence,
        "details": finding.details,
        "notes": list(finding.notes),
        "tables": [
            {
                "caption": table.caption,
                "columns": list(table.columns),
                "rows": [
                    {
                        "label": row.label,
                        "decimals": row.decimals,
                        "cells": [cell_json(cell) for cell in row.cells],
                    }
                    for row in table.rows
                ],
            }
            for table in finding.tables
        ],
        "figures": [
            {"file": f"figures/{f.name}.png", "caption": f.caption, "alt": f.alt}
            for f in finding.figures
        ],
    }
