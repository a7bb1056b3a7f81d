"""Every code block of the README runs, and the two that promise it are short."""

import re
import runpy
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"
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
