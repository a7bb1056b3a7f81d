"""A training process that kills itself at a named point of a save.

    python -m experiments.faults.child POINT:NTH train vae ...

The points are reached by wrapping what the library calls there, in this process only.
"""

import functools
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any

POINTS = (
    "save called",  # nothing done yet
    "handed to orbax",  # the background writes have begun
    "before the commit",  # all written, under a temporary name
    "committed",  # renamed, without a manifest
    "manifest half made",  # under a temporary name
    "sealed",  # the manifest is there
    "all done",  # and the background thread at its end
)


def main(argv: list[str]) -> int:
    """Runs the command line with a kill armed."""
    point, nth = argv[0].rsplit(":", 1)
    if point:
        _arm(point, int(nth))
    if limit := int(os.environ.get("FAULT_FSIZE", "0")):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    from experiments.cli import main as run

    return run(argv[1:])


def _arm(point: str, nth: int) -> None:
    import orbax.checkpoint as ocp
    from orbax.checkpoint._src.path.atomicity import AtomicRenameTemporaryPath

    from vaejax import checkpoint, manifest

    remaining = [nth]

    def die() -> None:
        remaining[0] -= 1
        if remaining[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(owner: Any, name: str) -> None:
        function = getattr(owner, name)

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            die()
            return function(*args, **kwargs)

        setattr(owner, name, wrapped)

    def after(owner: Any, name: str) -> None:
        function = getattr(owner, name)

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            die()
            return result

        setattr(owner, name, wrapped)

    arm: dict[str, Callable[[], None]] = {
        "save called": lambda: before(checkpoint.Checkpoints, "save"),
        "handed to orbax": lambda: after(ocp.CheckpointManager, "save"),
        "before the commit": lambda: before(AtomicRenameTemporaryPath, "finalize"),
        "committed": lambda: before(manifest, "seal"),
        "manifest half made": lambda: before(manifest.os, "fsync"),
        "sealed": lambda: after(manifest, "seal"),
        "all done": lambda: after(checkpoint.Checkpoints, "_seal"),
    }
    arm[point]()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
