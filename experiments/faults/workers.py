"""Warm processes with limits of time and memory, started again when they die."""

import logging
import multiprocessing
import queue
import resource
import threading
import traceback
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from typing import Any

MEMORY = 16 * 2**30  # of address space; XLA reserves several GiB that it never touches


def run(
    function: Callable[..., Any],
    calls: Iterable[tuple[Any, ...]],
    done: Callable[[tuple[Any, ...], Any, str], None],
    *,
    num_workers: int,
    seconds: float,
) -> None:
    """Calls a function in worker processes.

    Args:
      function: importable by name.
      calls: its arguments, a tuple for each call.
      done: receives the arguments, the result (None if there is none) and what went
        wrong: a traceback, `"died"` or `"took more than ... s"`. In this process, one
        at a time.
      num_workers: how many at once.
      seconds: allowed to one call.
    """
    waiting: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
    for arguments in calls:
        waiting.put(arguments)
    one_at_a_time = threading.Lock()

    def serve() -> None:
        process, pipe = _start()
        try:
            while True:
                arguments = waiting.get_nowait()
                result, wrong = _ask(pipe, function, arguments, seconds)
                if wrong and not wrong.startswith("Traceback"):
                    process.kill()
                    process, pipe = _start()
                with one_at_a_time:
                    done(arguments, result, wrong)
        except queue.Empty:
            pass
        finally:
            process.kill()

    threads = [threading.Thread(target=serve) for _ in range(num_workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _ask(
    pipe: Connection, function: Callable[..., Any], arguments: Any, seconds: float
) -> tuple[Any, str]:
    try:
        pipe.send((function, arguments))
        if not pipe.poll(seconds):
            return None, f"took more than {seconds:g} s"
        result, wrong = pipe.recv()
        return result, wrong
    except (EOFError, OSError):
        return None, "died"


def _start() -> tuple[Any, Connection]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs,), daemon=False)
    process.start()
    theirs.close()
    return process, ours


def _work(pipe: Connection) -> None:
    logging.getLogger("absl").setLevel(logging.ERROR)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    while True:
        try:
            function, arguments = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send((function(*arguments), ""))
        except Exception:
            pipe.send((None, traceback.format_exc()))
