"""What another part costs: one file of at most 60 lines, one export, one row."""

import ast
import inspect
import re
import statistics
import typing
from pathlib import Path

import pytest

from tests import rows
from vaejax import flows, likelihoods, objectives, posteriors, priors
from vaejax.base import Family, Objective
from vaejax.flows import Flow

MODULES = (objectives, posteriors, priors, likelihoods, flows)
FACTORIES = {
    f"{module.__name__.split('.')[-1]}.{name}": factory
    for module in MODULES
    for name, factory in inspect.getmembers(module, inspect.isfunction)
    if typing.get_type_hints(factory).get("return") in (Objective, Family, Flow)
    and name not in ("chain", "repeat", "invert")  # which put flows together
}
MOST_LINES = 60
each_factory = pytest.mark.parametrize("name", FACTORIES)


def num_lines(factory) -> int:
    """Lines of the file of a factory, without docstrings, comments and blank lines."""
    text = inspect.getsource(inspect.getmodule(factory))
    docs = {
        line
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and ast.get_docstring(node) is not None
        for line in range(node.body[0].lineno, node.body[0].end_lineno + 1)
    }
    return sum(
        number not in docs and not re.fullmatch(r"\s*(#.*)?", line)
        for number, line in enumerate(text.splitlines(), 1)
    )


@each_factory
def test_a_part_is_one_short_file(name):
    assert num_lines(FACTORIES[name]) <= MOST_LINES


def test_half_of_the_parts_are_as_short_as_the_documents_say():
    lines = [num_lines(factory) for factory in FACTORIES.values()]
    median = round(statistics.median(lines))
    text = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text()
    assert f"half of the {len(lines)} parts have at most {median}" in " ".join(
        text.split()
    )


@each_factory
def test_a_part_is_one_export(name):
    folder, part = name.split(".")
    init = Path(inspect.getfile(FACTORIES[name])).parent / "__init__.py"
    assert FACTORIES[name].__module__.startswith(f"vaejax.{folder}.")
    assert len(re.findall(rf"\b{part} as {part}\b", init.read_text())) == 1


@each_factory
def test_a_part_has_a_row_in_the_contract_table(name):
    text = inspect.getsource(rows)
    assert re.search(rf"\b{name.split('.')[1]}\b", text[text.index("def row(") :])
