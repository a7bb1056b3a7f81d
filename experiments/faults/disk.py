"""A disk that is full, fails or may not be written, from the n-th write on.

Injected below Python, where tensorstore writes: by a preloaded library that lets writes
fail, by a small file system in memory, and by a limit on the size of files.
"""

import errno
import random
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import PAGESIZE
from pathlib import Path

from experiments.faults import runs
from experiments.faults.row import Row, Verdict
from experiments.workdir import load

SOURCE = Path(__file__).parent / "failing_writes.c"
LIBRARY = "failing_writes.so"
ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS)
FIRST = 10  # epochs, after which the disk fails
LAST = 60  # epochs
KIB = 1024


def prepare(folder: Path) -> str | None:
    """Builds the library, and trains what is there before the disk fails."""
    compiler = shutil.which("cc")
    if compiler is None:
        return "no C compiler for the library that is preloaded"
    library = folder.parent / "runs" / LIBRARY
    library.parent.mkdir(parents=True, exist_ok=True)
    command = [compiler, "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
    built = subprocess.run(command, capture_output=True, text=True)
    if built.returncode:
        return f"the library that is preloaded does not compile: {built.stderr[:200]}"
    return _begin(folder.parent / "runs" / "begun")


def _begin(workdir: Path) -> str | None:
    code, _, err = runs.end(runs.start(workdir, "--num-epochs", str(FIRST)))
    return None if code == 0 else f"a run without faults fails: {err[-300:]}"


def failing_write(folder: Path, number: int, rng: random.Random) -> list[Verdict]:
    """The n-th write below the checkpoints fails, and every one after it."""
    workdir = folder / "run"
    shutil.copytree(folder.parents[1] / "runs" / "begun", workdir)
    error = ERRORS[number % len(ERRORS)]
    return _outcome(
        workdir,
        LD_PRELOAD=str(folder.parents[1] / "runs" / LIBRARY),
        FAULT_FOLDER=str(workdir / "checkpoints"),
        FAULT_NTH=str(rng.randint(1, 80)),
        FAULT_ERRNO=str(int(error)),
    )


def _outcome(workdir: Path, **environment: str) -> list[Verdict]:
    """Goes on with a run on a bad disk: it must say so, and the old state load."""
    code, _, err = runs.end(
        runs.start(workdir, "--num-epochs", str(LAST), environment=environment)
    )
    # Not at the start of a line: threads of orbax print their own in between.
    error = re.search(rf"error: .*{re.escape(str(workdir))}", err)
    told = code == 1 and error is not None
    good = runs.newest_good(workdir)
    if code == 0 and good == LAST * runs.EPOCH:
        return []  # the fault never came
    try:
        survived = int(load(workdir).state.step) == good >= FIRST * runs.EPOCH
    except ValueError as error:
        survived, err = False, f"{err} {error}"
    note = "" if told and survived else f"exit {code}, {good} good: {err[-600:]}"
    return [Verdict(detected=told, survived=survived, note=note)]


@contextmanager
def _small_disk(size: int) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp())
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
    subprocess.run(mount, check=True, capture_output=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


def mountable(folder: Path) -> str | None:
    """Why there can be no small file system here, if so; and what is there before."""
    try:
        with _small_disk(KIB * KIB):
            pass
    except (OSError, subprocess.CalledProcessError):
        return "a file system in memory may not be mounted here"
    return _begin(folder.parent / "runs" / "begun")


def full_disk(folder: Path, number: int, rng: random.Random) -> list[Verdict]:
    """A file system with room for the run and little more: less than a save needs."""
    begun = folder.parents[1] / "runs" / "begun"
    sizes = [path.stat().st_size for path in begun.rglob("*") if path.is_file()]
    taken = sum(-(-size // PAGESIZE) * PAGESIZE for size in sizes)
    with _small_disk(taken + rng.randint(0, 40) * KIB) as disk:
        (disk / "cache").symlink_to(folder.parents[1] / "cache")
        workdir = disk / "rows" / "run"
        shutil.copytree(begun, workdir)
        return _outcome(workdir)


def limited_file(folder: Path, number: int, rng: random.Random) -> list[Verdict]:
    """No file may grow over a few KiB (RLIMIT_FSIZE)."""
    workdir = folder / "run"
    shutil.copytree(folder.parents[1] / "runs" / "begun", workdir)
    return _outcome(workdir, FAULT_FSIZE=str(rng.randint(1, 24) * KIB))


def _begun(folder: Path) -> str | None:
    return _begin(folder.parent / "runs" / "begun")


HELD = "an error no later than the next save or the end; the old checkpoint loads"
ROWS = (
    Row(
        "ENOSPC, EIO, EROFS from the n-th write on (preloaded library)", HELD,
        num_cases=30, num_quick=1, case=failing_write, prepare=prepare,
    ),
    Row(
        "disk full (small tmpfs)", HELD,
        num_cases=10, num_quick=1, case=full_disk, prepare=mountable,
    ),
    Row(
        "files limited in size (RLIMIT_FSIZE)", HELD,
        num_cases=10, num_quick=1, case=limited_file, prepare=_begun,
    ),
)  # fmt: skip
