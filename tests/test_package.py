"""The wheel holds vaejax alone, typed, and imports where nothing else lies."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_a_wheel_of_vaejax_alone_builds_installs_and_imports(tmp_path):
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation"]
    subprocess.run([*build, "-o", tmp_path], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert "vaejax/py.typed" in names
    assert {top for top in tops if not top.endswith(".dist-info")} == {"vaejax"}
    target = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", target, wheel], check=True)
    code = (
        f"import sys; sys.path.insert(0, {str(target)!r}); import vaejax; "
        "print(vaejax.__file__, vaejax.__version__, vaejax.checkpoint.Checkpoints)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(target))
