"""The page: `report.json` and the pictures, in one file that needs no other."""

import base64
import html
import json
from pathlib import Path
from typing import Any

from experiments.report.statistics import signed

STYLE = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")


def page(report: dict[str, Any], folder: Path) -> str:
    """Renders a report; every number in it comes from `report`.

    Args:
      report: what `report.json` holds.
      folder: where the files of its figures lie.

    Returns:
      HTML without scripts and without anything to load.
    """
    title = f"Auto-encoder and VAE, side by side on {report['title']}"
    return document(report, folder, title, "Question")


def document(report: dict[str, Any], folder: Path, title: str, section: str) -> str:
    """A page of any findings.

    Args:
      report: `summary`, `samples` (a figure), `findings`, `notes` and `settings`.
      folder: where the files of its figures lie.
      title: of the page.
      section: what a finding is called, such as `Question`.
    """
    findings = report["findings"]
    contents = "".join(
        f'<li><a href="#q{i}"><strong>{_text(f["title"])}</strong></a> '
        f"<span>{_text(f['sentence'])}</span></li>"
        for i, f in enumerate(findings, 1)
    )
    sections = "".join(
        _section(f"{section} {i}", f'id="q{i}"', f, folder)
        for i, f in enumerate(findings, 1)
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        f"<title>{_text(title)}</title><style>{STYLE}</style></head><body>"
        f"<header><p class='kicker'>vaejax report</p><h1>{_text(title)}</h1>"
        f"<p class='lead'>{_text(report['summary'])}</p>"
        f"{_figure(report['samples'], folder, 'hero')}</header>"
        "<main><section class='answers'><h2>The answers</h2>"
        f"<ol>{contents}</ol></section>"
        f"{sections}{_method(report)}</main></body></html>\n"
    )


def _section(kicker: str, place: str, finding: dict[str, Any], folder: Path) -> str:
    figures = "".join(_figure(f, folder) for f in finding["figures"])
    tables = "".join(_table(t) for t in finding["tables"])
    notes = "".join(f"<p class='note'>{_text(note)}</p>" for note in finding["notes"])
    summary = "<summary>The numbers, and how they were measured</summary>"
    numbers = f"<details>{summary}{notes}{tables}</details>" if tables or notes else ""
    return (
        f'<section {place}><p class="number">{_text(kicker)}</p>'
        f"<h2>{_text(finding['title'])}</h2>"
        f"<p class='finding'>{_text(finding['sentence'])}</p>"
        f"<p class='details'>{_text(finding['details'])}</p>"
        f"<div class='figures'>{figures}</div>{numbers}</section>"
    )


def _figure(figure: dict[str, str], folder: Path, kind: str = "") -> str:
    content = (folder / figure["file"]).read_bytes()
    data = base64.b64encode(content).decode("ascii")
    width = int.from_bytes(content[16:20], "big")  # of the PNG, in its header
    wide = " wide" if width > WIDE else ""
    return (
        f'<figure class="{kind}{wide}"><img alt="{_text(figure["alt"])}" '
        f'src="data:image/png;base64,{data}"/>'
        f"<figcaption>{_text(figure['caption'])}</figcaption></figure>"
    )


NONE = "\N{EN DASH}"
WIDE = 800  # pixels: a figure wider than this takes both columns


def _table(table: dict[str, Any]) -> str:
    head = "".join(f"<th scope='col'>{_text(c)}</th>" for c in table["columns"])
    rows = "".join(
        f"<tr><th scope='row'>{_text(row['label'])}</th>"
        + "".join(f"<td>{_cell(c, row['decimals'])}</td>" for c in row["cells"])
        + "</tr>"
        for row in table["rows"]
    )
    return (
        f"<div class='scroll'><table><caption>{_text(table['caption'])}</caption>"
        f"<thead><tr><th></th>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _cell(cell: Any, decimals: int) -> str:
    if cell is None or isinstance(cell, str):
        return NONE if cell is None else _text(cell)
    if isinstance(cell, dict):
        value, error = cell["value"], cell["standard_error"]
        if error is None:
            return number(value, decimals)
        return f"{number(value, decimals)} <small>± {number(error, decimals)}</small>"
    return number(cell, decimals)


def number(value: float | None, decimals: int) -> str:
    """A number as the page shows it, thousands apart."""
    if value is None:
        return NONE
    return f"{value:,}" if isinstance(value, int) else signed(value, decimals)


def _method(report: dict[str, Any]) -> str:
    notes = "".join(f"<p>{_text(note)}</p>" for note in report["notes"])
    settings = "".join(
        f"<tr><th scope='row'>{_text(name)}</th><td>{_text(_plain(value))}</td></tr>"
        for name, value in report["settings"].items()
    )
    return (
        f'<section id="method"><h2>How it was made</h2>{notes}'
        f"<div class='scroll'><table class='settings'>{settings}</table></div>"
        "</section>"
    )


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _text(text: str) -> str:
    return html.escape(text, quote=True)
