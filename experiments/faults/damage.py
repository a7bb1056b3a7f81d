"""Bits flipped in, and things done to, every file of a checkpoint."""

import random
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import jax
import orbax.checkpoint as ocp

from experiments.faults import states
from experiments.faults.row import Row, Verdict
from vaejax.checkpoint import Checkpoints

OLD, NEW = 2, 4  # steps
NUM_OFFSETS = 16  # in each file


def _flip(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def _truncate(path: Path, rng: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content))])


def _empty(path: Path, rng: random.Random) -> None:
    path.write_bytes(b"")


def _delete(path: Path, rng: random.Random) -> None:
    path.unlink()


def _swap(path: Path, rng: random.Random) -> None:
    """With another file of the checkpoint that has other contents."""
    root = next(p for p in path.parents if p.name == str(NEW))
    content = path.read_bytes()
    others = [p for p in _files(root) if p.read_bytes() != content]
    other = rng.choice(others)
    path.write_bytes(other.read_bytes())
    other.write_bytes(content)


DAMAGES: tuple[Callable[[Path, random.Random], None], ...] = (
    *[_flip] * NUM_OFFSETS, _truncate, _empty, _delete, _swap,
)  # fmt: skip


def _files(folder: Path) -> list[Path]:
    return [p for p in sorted(folder.rglob("*")) if p.is_file() and p.stat().st_size]


def one_file(folder: Path, number: int, rng: random.Random) -> list[Verdict]:
    """All damages to one file, each on a copy of its own."""
    expected = states.saved(folder / "whole", OLD, NEW)
    files = _files(folder / "whole" / str(NEW))
    name = files[number % len(files)].relative_to(folder / "whole")
    verdicts = []
    for place, damage in enumerate(DAMAGES):
        copy = folder / str(place)
        shutil.copytree(folder / "whole", copy)
        damage(copy / name, rng)
        peer = _orbax_alone(copy / str(NEW))
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            with Checkpoints(copy) as checkpoints:
                state, _ = checkpoints.restore(states.initial())
        what = " ".join(str(warning.message) for warning in said)
        named = name.relative_to(str(NEW)).as_posix().split(".")[0] in what
        detected = f"Checkpoint {NEW}" in what and (named or damage is _swap)
        good = states.equal(states.bits(state), expected[OLD])
        note = "" if detected and good else f"{damage.__name__} {name}: {what}"
        verdicts.append(
            Verdict(detected, survived=good, bit_equal=good, peer=peer, note=note)
        )
        shutil.rmtree(copy)
    return verdicts


def _orbax_alone(folder: Path) -> bool:
    """Whether orbax without a manifest notices, by an error."""
    target = states.initial()
    target = target._replace(key=jax.random.key_data(target.key))
    arguments = ocp.checkpoint_utils.construct_restore_args(target)
    try:
        ocp.PyTreeCheckpointHandler().restore(
            folder / "state",
            args=ocp.args.PyTreeRestore(target, restore_args=arguments),
        )
        ocp.JsonCheckpointHandler().restore(
            folder / "notes", args=ocp.args.JsonRestore()
        )
    except Exception:
        return True
    return False


ROWS = (
    Row(
        "a bit flipped; truncated, emptied, deleted, swapped",
        "detected, the file named, the checkpoint before it used",
        num_cases=25, num_quick=1, case=one_file,
    ),
)  # fmt: skip
