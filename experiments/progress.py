"""Progress: a bar on a terminal, plain lines elsewhere; always on stderr."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

Advance = Callable[..., None]


@contextlib.contextmanager
def bar(description: str, total: int, *, every: float = 5.0) -> Iterator[Advance]:
    """Shows how far a piece of work has come.

    Args:
      description: what is being done.
      total: how many units it has.
      every: seconds between plain lines, where there is no terminal.

    Yields:
      `advance(num=1, text="")`, to be called after each unit.
    """
    show = _rich(description, total) if sys.stderr.isatty() else None
    with show or _plain(description, total, every) as advance:
        yield advance


@contextlib.contextmanager
def _rich(description: str, total: int) -> Iterator[Advance]:
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
        progress.TextColumn("{task.fields[text]}"),
    )
    with progress.Progress(*columns, console=Console(stderr=True)) as display:
        task = display.add_task(description, total=total, text="")
        yield lambda num=1, text="": display.update(task, advance=num, text=text)


@contextlib.contextmanager
def _plain(description: str, total: int, every: float) -> Iterator[Advance]:
    done, last = 0, time.monotonic()

    def advance(num: int = 1, text: str = "") -> None:
        nonlocal done, last
        done += num
        if done >= total or time.monotonic() - last >= every:
            last = time.monotonic()
            print(f"{description} {done}/{total} {text}", file=sys.stderr, flush=True)

    yield advance
