"""Every code block of the README and of docs/ runs; the two that promise it are short.

On a page of docs/, a block that begins with a comment `# NAME.py` is that file, and the
lines `python -m experiments ...` of a `sh` block are run; a block of any other kind,
such as `console`, is only read.
"""

import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest

from experiments import cli

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs").glob("*.md"))
BLOCKS = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.M | re.S)


@pytest.mark.parametrize("number", range(2, len(BLOCKS)))
def test_a_code_block_of_the_readme_runs(number, tmp_path, monkeypatch):
    path = tmp_path / f"block_{number}.py"
    path.write_text(BLOCKS[number])
    monkeypatch.chdir(tmp_path)
    names = runpy.run_path(str(path))
    assert names["metrics"]["loss"].shape in ((), (8,))


def test_the_first_example_learns_and_the_second_resumes(tmp_path):
    (tmp_path / "first.py").write_text(BLOCKS[0])
    first = runpy.run_path(str(tmp_path / "first.py"))
    assert first["metrics"]["loss"] < 30  # 44 nats is 64 fair coins
    assert first["new_images"].shape == (16, 8, 8)
    assert first["log_p"].mean() > -first["metrics"]["loss"] - 1
    (tmp_path / "second.py").write_text(BLOCKS[1])
    second = runpy.run_path(str(tmp_path / "second.py"))
    assert int(second["state"].step) == 2 * 3 * 20


def test_the_examples_are_as_short_as_the_readme_says():
    assert len(BLOCKS[0].splitlines()) <= 40
    assert len(BLOCKS[1].splitlines()) <= 25
    assert "experiments" not in BLOCKS[1]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_blocks_of_a_page_run_in_order(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)  # as `python -m` has the current folder
    known = set(sys.modules)
    blocks = re.findall(r"^```(python|sh)\n(.*?)^```", page.read_text(), re.M | re.S)
    for number, (language, text) in enumerate(blocks):
        if language == "python":
            named = re.match(r"# (\w+\.py)\n", text)
            path = tmp_path / (named[1] if named else f"block_{number}.py")
            path.write_text(text)
            runpy.run_path(str(path))
        for line in text.replace("\\\n", " ").splitlines() if language == "sh" else ():
            command = shlex.split(line)
            assert command[:3] == ["python", "-m", "experiments"], line
            assert cli.main(command[3:]) == 0, capsys.readouterr().err
    for name in set(sys.modules) - known:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(
            str(tmp_path)
        ):
            del sys.modules[name]
