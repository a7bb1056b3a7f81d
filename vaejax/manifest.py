"""Checksums of the files of a folder, so that damage is found and named.

Each of N processes seals what it wrote in a file `SHA256SUMS.i-of-N`, a line for each
file in the form of `sha256sum`, and a last one for the lines themselves:

    9f86d0...0a08  state/d/4f1a
    # 60303a...e752

A folder is whole when all N are there and every file has the checksum they say. Those
who trust no Python ask `sha256sum --check --strict SHA256SUMS.*` in the folder.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

NAME = re.compile(r"SHA256SUMS\.(\d{1,6})-of-(\d{1,6})")
LINE = re.compile(r"([0-9a-f]{64})  (.+)")
MAX_BYTES = 64 * 2**20  # of one manifest, before it is read


def seal(folder: Path, paths: Iterable[Path], process: int = 0, num: int = 1) -> None:
    """Writes the manifest of one process, whole or not at all, through to the disk.

    Args:
      folder: what is sealed.
      paths: the files in it that this process answers for, absolute or under `folder`.
      process: its index.
      num: N, how many processes seal this folder.
    """
    names = sorted(path.relative_to(folder).as_posix() for path in paths)
    lines = "".join(f"{_sha256(folder / name)}  {name}\n" for name in names)
    text = f"{lines}# {hashlib.sha256(lines.encode()).hexdigest()}\n"
    target = folder / f"SHA256SUMS.{process}-of-{num}"
    temporary = target.with_name(f".{target.name}")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(target)


def files(folder: Path) -> Iterator[Path]:
    """The files below a folder, but for its manifests."""
    for path in folder.rglob("*"):
        top = path.parent == folder
        own = top and NAME.fullmatch(path.name.removeprefix(".")) is not None
        if not own and (path.is_symlink() or not path.is_dir()):
            yield path


def is_sealed(folder: Path) -> bool:
    """Whether the manifests of all processes are there; their contents are not read."""
    return _manifests(folder) is not None


def damage(folder: Path) -> str | None:
    """The first thing that is wrong with a sealed folder, its file named, or None.

    Every file that a manifest names is read once. Other files are let be.
    """
    manifests = _manifests(folder)
    if manifests is None:
        return "its manifest SHA256SUMS is missing or not complete"
    for manifest in manifests:
        sums = _read(manifest)
        if sums is None:
            return f"{manifest.name} is damaged"
        for name, expected in sums.items():
            path = folder / name
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                return f"{manifest.name} names {name}, outside the folder"
            if any(
                p.is_symlink() for p in (path, *path.parents) if folder in p.parents
            ):
                return f"{name} is a link"
            if not path.is_file():
                return f"{name} is missing"
            if _sha256(path) != expected:
                return f"{name} is damaged"
    return None


def _manifests(folder: Path) -> list[Path] | None:
    """All N manifests, if all are there and agree about N."""
    found = {p: m for p in folder.iterdir() if (m := NAME.fullmatch(p.name))}
    places = sorted((int(m[1]), int(m[2])) for m in found.values())
    num = len(places)
    return sorted(found) if num and places == [(i, num) for i in range(num)] else None


def _read(manifest: Path) -> dict[str, str] | None:
    """The checksum of each file by its name; None unless every byte is as written."""
    if manifest.is_symlink() or manifest.stat().st_size > MAX_BYTES:
        return None
    *lines, last = manifest.read_bytes().splitlines(keepends=True) or [b""]
    digest = hashlib.sha256(b"".join(lines)).hexdigest()
    if last != f"# {digest}\n".encode():
        return None
    try:
        matches = [LINE.fullmatch(line.decode().removesuffix("\n")) for line in lines]
    except UnicodeDecodeError:
        return None
    return None if None in matches else {m[2]: m[1] for m in matches if m}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
