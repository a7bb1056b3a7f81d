"""Stopping in good order: what a signal asks for is done between two segments.

The interpreter looks at signals between two of its own instructions, and a segment is
one; so the bytes that the C handler writes are read by a thread, which can still quit
at once when a second signal comes.
"""

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator

from experiments.errors import UserError

EXIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: saved, not finished, repeat to go on
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class InterruptedRunError(UserError):
    """A run was stopped before its end, and is saved; the message says by what."""


@contextlib.contextmanager
def requests(say: Callable[[str], None]) -> Iterator[Callable[[], int]]:
    """Listens to SIGTERM and SIGINT while a run trains.

    The first one is remembered; the second quits the process at once, with the exit
    code of a shell, 128 + its number.

    Args:
      say: tells the user what was understood.

    Yields:
      A function that gives the number of the first signal, 0 before it came.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: 0  # Python takes signals in the main thread only
        return
    first: list[int] = []
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)

    def listen() -> None:
        while number := ours.recv(1):
            if number[0] not in SIGNALS:
                continue
            if first:
                os._exit(128 + number[0])
            first.append(number[0])
            name = signal.Signals(number[0]).name
            say(f"{name}: saving after this segment; a second one quits at once.")

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    old = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
    wakeup = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    try:
        yield lambda: first[0] if first else 0
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in old.items():
            if handler is not None:  # installed by C, as JAX's is
                signal.signal(number, handler)
        theirs.close()
        listener.join()
        ours.close()
