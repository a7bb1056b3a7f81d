"""The command line: a verb is a function, its keyword-only arguments are its flags.

    python -m experiments train vae --latent-dim 8 --objective iwae --num-particles 50

What a flag reaches is the matter of `flags`, what a name means that of `parts`.
"""

import difflib
import importlib
import inspect
import json
import signal
import sys
from collections.abc import Callable
from typing import Any

import vaejax
from experiments import parts
from experiments.compile_cache import check_compile_cache
from experiments.errors import UserError
from experiments.flags import (
    ALLOW,
    allowed,
    choose_parts,
    nest,
    parse,
    positional_values,
    read,
)
from experiments.interruption import EXIT_CODE, InterruptedRunError
from experiments.workdir import finite

VERBS = (
    "compare",
    "train",
    "sweep",
    "evaluate",
    "anomalies",
    "classifier",
    "encode",
    "export",
    "sample",
    "reconstruct",
    "traverse",
    "table",
    "conditional",
    "semi_supervised",
    "benchmark",
    "faults",
)


def main(argv: list[str]) -> int:
    """Runs a verb; prints its result as one JSON object, the last line of stdout.

    Returns:
      The exit code: 0, 2 for a request that cannot be met, 75 for a run that was
      stopped early and is saved, 130 for a verb left by Ctrl-C, or 1 where the system
      failed; what was wrong is said on stderr.
    """
    try:
        if not argv or argv[0] in ("-h", "--help"):
            print(overview())
            return 0
        check_compile_cache()
        result = run(verb(argv[0]), argv[1:])
    except InterruptedRunError as stop:
        print(f"stopped: {stop}", file=sys.stderr)
        return EXIT_CODE
    except KeyboardInterrupt:
        print("stopped: by Ctrl-C", file=sys.stderr)
        return 128 + signal.SIGINT
    except (UserError, vaejax.data.DataError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # a full disk, a folder that may not be written
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(finite(result)))
    return 0


def verb(name: str) -> Callable[..., dict[str, Any]]:
    """The function of a verb: `experiments.NAME.NAME`."""
    if name not in VERBS:
        close = difflib.get_close_matches(name, VERBS, 1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise UserError(
            f"the verb must be one of {', '.join(VERBS)}; got {name}.{hint}"
        )
    return getattr(importlib.import_module(f"experiments.{name}"), name)


def overview() -> str:
    """What the verbs do, a line each, and where to read more."""
    lines = ["usage: python -m experiments VERB [FLAGS]", ""]
    for name in VERBS:
        summary = (inspect.getdoc(verb(name)) or "").splitlines()[0]
        lines.append(f"  {name:<12} {summary}")
    return "\n".join(
        [*lines, "", "`python -m experiments VERB --help` lists its flags."]
    )


def run(function: Callable[..., Any], argv: list[str]) -> Any:
    """Calls a function with arguments from the command line."""
    words, argv = positional_values(function, argv)
    typed = read(argv)
    roots = {name: word for name, word in words.items() if name in parts.AXES}
    chosen, typed = choose_parts(function, roots, typed)
    own = parts.flags(function)
    allow: tuple[str, ...] = ()
    if own.pop(ALLOW, None):
        allow, typed = allowed(typed)
    program = " ".join(["python -m experiments", function.__name__, *words.values()])
    values, part_values = parse(function, own, chosen, typed, program)

    given: list[Any] = []
    for name, word in words.items():
        given.append(nest((name,), chosen, part_values) if name in roots else word)
    for name in parts.axes(function):
        part = nest((name,), chosen, part_values)
        values[name] = parts.build(name, part, parts.outsiders(part))
    return function(*given, **values, **({ALLOW: allow} if allow else {}))
