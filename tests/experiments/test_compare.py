import json
import re

import jax
import numpy as np
import pytest

from experiments.compare import compare
from tests.html_page import Page


@pytest.fixture(scope="module", autouse=True)
def _fast_compilation():
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def tiny(**arguments):
    small = {"num_seeds": 2, "num_epochs": 1, "num_images": 128, "hidden": (8,)}
    return compare(**(small | {"latent_dim": 3, "batch_size": 32} | arguments))


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    return tiny(workdir=str(folder)), folder


def page_of(folder):
    page = Page()
    page.feed((folder / "report.html").read_text(encoding="utf-8"))
    return page


def numbers_in(value):
    """Every number of the JSON, those in its sentences included."""
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from numbers_in(item)
    elif isinstance(value, str):
        yield from (float(x) for x in found(value))
    else:
        yield float(value)


def found(text):
    plain = text.replace("\N{MINUS SIGN}", "-").replace(",", "")
    return re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?", plain)


def test_seven_questions_are_answered_by_sentence_number_and_figure(report):
    result, folder = report
    content = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert len(content["findings"]) == len(result["findings"]) == 7
    for finding in content["findings"]:
        assert finding["sentence"].endswith(".")
        cells = [c for t in finding["tables"] for r in t["rows"] for c in r["cells"]]
        assert any(isinstance(c, dict) and c["standard_error"] >= 0 for c in cells)
        assert finding["figures"]
        for figure in finding["figures"]:
            start = (folder / figure["file"]).read_bytes()[:8]
            assert start == b"\x89PNG\r\n\x1a\n"
            assert figure["alt"]
            assert figure["caption"]


def test_the_result_is_one_json_object_that_names_the_files(report):
    result, folder = report
    assert json.loads(json.dumps(result))["report"] == str(folder / "report.html")


def test_the_page_is_well_formed_and_needs_no_other_file(report):
    page = page_of(report[1])
    assert not page.open
    assert not page.tags & {"script", "link", "iframe"}
    for source in page.sources:
        assert source.startswith(("data:image/png;base64,", "#q"))


def test_every_number_of_the_page_is_in_the_json(report):
    folder = report[1]
    content = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    known = np.array(list(numbers_in(content)))
    text = " ".join(page_of(folder).words)
    shown = found(re.sub(r"Question \d", "", text))
    assert len(shown) > 300
    for number in shown:
        decimals = len(number.partition(".")[2])
        near = np.abs(known - float(number)) <= 0.5 * 10.0**-decimals + 1e-9
        assert near.any(), number


@pytest.mark.slow
def test_an_own_file_without_labels_or_square_gets_its_report(tmp_path):
    bits = np.random.default_rng(0).random((200, 7)) < 0.3
    np.savez(tmp_path / "own.npz", image=bits)
    tiny(dataset=f"npz:{tmp_path / 'own.npz'}", workdir=str(tmp_path / "run"))
    content = json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))
    assert "no labels" in content["findings"][1]["sentence"]
    assert "no labels" in content["findings"][3]["sentence"]
    assert any("are no images" in note for note in content["notes"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"num_seeds": 1}, "num_seeds"),
        ({"classes": (0, 0)}, "classes must be"),
        ({"classes": (0, 12)}, "classes must be"),
        ({"num_images": 3}, "at least"),
        ({"num_epochs": 0}, "num_epochs"),
        ({"batch_size": 4096}, "batch_size"),
    ],
)
def test_settings_that_leave_nothing_to_compare_are_refused(arguments, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        tiny(workdir=str(tmp_path), **arguments)
