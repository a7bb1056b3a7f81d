"""What a row of the table is, and what an injection tells."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Verdict(NamedTuple):
    """What became of one injection; None where a question does not apply."""

    detected: bool | None = None  # and the file, leaf or cause named
    survived: bool | None = None  # a good state was there afterwards
    bit_equal: bool | None = None
    lost: int | None = None  # steps that had to be taken again
    peer: bool | None = None  # detected by orbax alone
    note: str = ""  # what went wrong


class Row(NamedTuple):
    """A kind of fault: cases of one or more injections each.

    A case is a function of its folder, its number and a generator of random numbers
    that depends on the seed, the row and the number only.
    """

    name: str
    must_hold: str
    num_cases: int  # of `make faults`
    num_quick: int  # of the short version
    case: Callable[[Path, int, random.Random], list[Verdict]]
    prepare: Callable[[Path], str | None] = lambda folder: None  # why it can't be run
    seconds: float = 120.0  # allowed to a case
    max_lost: int | None = None  # steps
    num_devices: int = 1  # simulated, in the worker


def held(row: Row, verdicts: list[Verdict]) -> bool:
    """Whether every injection of a row went as it must."""
    answers = [a for v in verdicts for a in (v.detected, v.survived, v.bit_equal)]
    lost = [v.lost for v in verdicts if v.lost is not None]
    few = row.max_lost is None or all(n <= row.max_lost for n in lost)
    return bool(verdicts) and few and False not in answers
