"""A manifest finds every change of a sealed folder, and names the file."""

import hashlib
import shutil
import subprocess

import pytest

from vaejax import manifest

CONTENT = {"a": b"one", "state/d/0": b"\0" * 100, "state/empty": b""}


@pytest.fixture
def folder(tmp_path):
    for name, content in CONTENT.items():
        path = tmp_path / "100" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    manifest.seal(tmp_path / "100", manifest.files(tmp_path / "100"))
    return tmp_path / "100"


def test_a_folder_as_it_was_sealed_is_whole(folder):
    assert manifest.is_sealed(folder)
    assert manifest.damage(folder) is None
    assert set(manifest.files(folder)) == {folder / name for name in CONTENT}


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="no sha256sum here")
def test_the_manifest_is_read_by_sha256sum(folder):
    command = ["sha256sum", "--check", "--strict", "SHA256SUMS.0-of-1"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (folder / "a").write_bytes(b"two")
    assert subprocess.run(command, cwd=folder, capture_output=True).returncode == 1


def flip(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)


def swap(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes((folder / "state/d/0").read_bytes())
    (folder / "state/d/0").write_bytes(content)


def link(folder, name):
    (folder / name).rename(folder.parent / "elsewhere")
    (folder / name).symlink_to(folder.parent / "elsewhere")


@pytest.mark.parametrize(
    ("change", "name", "said"),
    [
        (flip, "a", "a is damaged"),
        (flip, "state/d/0", "state/d/0 is damaged"),
        (swap, "a", "a is damaged"),
        (link, "a", "a is a link"),
        (link, "state", "is a link"),
        (lambda folder, name: (folder / name).unlink(), "state/empty", "missing"),
        (lambda folder, name: (folder / name).write_bytes(b""), "a", "a is damaged"),
        (lambda folder, name: (folder / name).unlink(), "SHA256SUMS.0-of-1", "missing"),
        (flip, "SHA256SUMS.0-of-1", "SHA256SUMS.0-of-1 is damaged"),
    ],
)
def test_any_change_is_found_and_the_file_named(folder, change, name, said):
    change(folder, name)
    assert said in manifest.damage(folder)


def test_every_bit_of_the_manifest_itself_matters(folder):
    path = folder / "SHA256SUMS.0-of-1"
    content = path.read_bytes()
    for place in range(len(content)):
        for bit in (0, 5, 7):
            changed = bytearray(content)
            changed[place] ^= 1 << bit
            path.write_bytes(changed)
            assert manifest.damage(folder) == "SHA256SUMS.0-of-1 is damaged"


@pytest.mark.parametrize("name", ["../a", "/etc/hostname", "state/../../a"])
def test_a_manifest_cannot_name_a_file_outside(folder, name):
    shutil.copy(folder / "a", folder.parent / "a")
    line = f"{hashlib.sha256(b'one').hexdigest()}  {name}\n".encode()
    last = f"# {hashlib.sha256(line).hexdigest()}\n".encode()
    (folder / "SHA256SUMS.0-of-1").write_bytes(line + last)
    assert "outside the folder" in manifest.damage(folder)


def test_a_folder_of_several_processes_is_whole_when_all_have_sealed_it(folder):
    (folder / "SHA256SUMS.0-of-1").unlink()
    manifest.seal(folder, [folder / "a"], 0, 2)
    assert not manifest.is_sealed(folder)
    manifest.seal(folder, [folder / "state/d/0", folder / "state/empty"], 1, 2)
    assert manifest.is_sealed(folder)
    assert manifest.damage(folder) is None
    flip(folder, "state/d/0")
    assert manifest.damage(folder) == "state/d/0 is damaged"
    shutil.copy(folder / "SHA256SUMS.0-of-2", folder / "SHA256SUMS.0-of-1")
    assert not manifest.is_sealed(folder)  # of how many?
