"""The command line: a verb is a function, its keyword-only arguments are its flags.

    python -m experiments train vae --latent-dim 8 --objective iwae --num-particles 50

Flags come from signatures and help from docstrings. An argument named in `parts.AXES`
chooses a part by name, and the flags of that part join: `--num-particles` reaches every
chosen part that has it, `--objective.num-particles` that part alone, and wins.
"""

import difflib
import importlib
import inspect
import json
import math
import sys
from collections.abc import Callable
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import vaejax
from experiments import parts
from experiments.errors import UserError

VERBS = (
    "compare",
    "train",
    "evaluate",
    "encode",
    "sample",
    "reconstruct",
    "traverse",
    "benchmark",
)


def main(argv: list[str]) -> int:
    """Runs a verb; prints its result as one JSON object, the last line of stdout.

    Returns:
      The exit code: 0, 2 for a request that cannot be met, or 1 where the system
      failed; what was wrong is said on stderr.
    """
    try:
        if not argv or argv[0] in ("-h", "--help"):
            print(overview())
            return 0
        result = run(verb(argv[0]), argv[1:])
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
    argv = [token for arg in argv for token in split_flag(arg)]
    words, argv = positional_values(function, argv)
    chosen: dict[str, parts.Factory] = {}
    given: list[Any] = []
    for name, word in words.items():
        if name in parts.AXES:
            chosen[name] = parts.choose(name, word)
        given.append(word)
    argv = choose_parts(chosen, argv)
    own = parts.flags(function)
    program = " ".join(["python -m experiments", function.__name__, *words.values()])
    values = parse(function, own, chosen, argv, program)
    part_values = {name: values.pop(name) for name in chosen}
    for i, name in enumerate(words):
        if name in chosen:
            given[i] = nest(name, chosen, part_values)
    return function(*given, **values)


def split_flag(arg: str) -> list[str]:
    """`--a=b` as two words."""
    return arg.split("=", 1) if arg.startswith("--") else [arg]


def positional_values(
    function: Callable[..., Any], argv: list[str]
) -> tuple[dict[str, str], list[str]]:
    """The leading words of a command, for the positional arguments of a function."""
    hints, words = get_type_hints(function), {}
    for name in parts.positional(function):
        default = inspect.signature(function).parameters[name].default
        if argv and not argv[0].startswith("-"):
            word, argv = argv[0], argv[1:]
        elif default is not inspect.Parameter.empty:
            word = default
        elif set(argv) & {"-h", "--help"}:
            word = list(parts.choices(name))[-1]  # the help of one of them
        else:
            allowed = ", ".join(parts.choices(name))
            raise UserError(
                f"{function.__name__} needs a {name} as its first word: {allowed}."
            )
        if get_origin(hints.get(name)) is Literal and word not in get_args(hints[name]):
            raise UserError(
                f"{name} must be one of {', '.join(get_args(hints[name]))}; got {word}."
            )
        words[name] = word
    return words, argv


def choose_parts(chosen: dict[str, parts.Factory], argv: list[str]) -> list[str]:
    """Adds to `chosen` the parts of its parts; returns the words that chose none."""
    queue = list(chosen.values())
    while queue:
        for name, parameter in parts.keywords(queue.pop()).items():
            if name not in parts.AXES:
                continue
            factory, flag = parameter.default, f"--{name}"
            while flag in argv:
                i = argv.index(flag)
                if i + 1 >= len(argv):
                    raise UserError(
                        f"{flag} needs one of {', '.join(parts.choices(name))}."
                    )
                factory = parts.choose(name, argv[i + 1])
                argv = argv[:i] + argv[i + 2 :]
            chosen[name] = factory
            queue.append(factory)
    return argv


def parse(
    function: Callable[..., Any],
    own: dict[str, inspect.Parameter],
    chosen: dict[str, parts.Factory],
    argv: list[str],
    program: str,
) -> dict[str, Any]:
    """Reads the flags of a function, and those of each chosen part under its name."""
    import tyro

    def dictionary(like: Callable[..., Any], flags: list[inspect.Parameter]) -> Any:
        """A function of these flags that returns them, with the help of another."""

        def values(**kwargs: Any) -> dict[str, Any]:
            return kwargs

        values.__name__, values.__doc__ = like.__name__, like.__doc__
        values.__dict__["__signature__"] = inspect.Signature(flags)
        values.__annotations__ = {p.name: p.annotation for p in flags}
        return values

    fields = list(own.values())
    for axis, factory in chosen.items():
        flags = list(parts.flags(factory).values())
        if flags:
            group = tyro.conf.arg(constructor=dictionary(factory, flags))
            fields.append(
                inspect.Parameter(
                    axis,
                    inspect.Parameter.KEYWORD_ONLY,
                    annotation=Annotated[Any, group],
                )
            )
    lines = (inspect.getdoc(function) or "").splitlines()[:1]
    for axis, factory in chosen.items():
        if axis not in parts.positional(function):
            names = ", ".join(parts.choices(axis))
            lines.append(f"--{axis}: one of {names} (default: {factory.__name__})")
    values = tyro.cli(
        dictionary(function, fields),
        args=spread(argv, chosen, set(own)),
        prog=program,
        description="\n".join(lines),
    )
    return {axis: {} for axis in chosen} | values


def spread(
    argv: list[str], chosen: dict[str, parts.Factory], own: set[str]
) -> list[str]:
    """`--hidden 64` as `--network.hidden 64`; full forms go last, so that they win.

    Raises:
      UserError: for a flag of a part that is not chosen.
    """
    groups: list[list[str]] = []  # each flag with its values
    for word in argv:
        if word.startswith("--") or not groups:
            groups.append([])
        groups[-1].append(word)
    bare, full = [], []
    for flag, *values in groups:
        name = flag.removeprefix("--").replace("-", "_")
        owners = [a for a, f in chosen.items() if name in parts.flags(f)]
        if name in own or not owners:
            refuse_unknown(flag, chosen, own)
            full += [flag, *values]
        for axis in owners if name not in own else []:
            bare += [f"--{axis}.{flag[2:]}", *values]
    return bare + full


def refuse_unknown(flag: str, chosen: dict[str, parts.Factory], own: set[str]) -> None:
    """Says whose a flag is that no chosen part has, or which was meant."""
    axis, _, inner = flag.removeprefix("--").replace("-", "_").rpartition(".")
    if flag in ("-h", "--help") or (not axis and inner in own | chosen.keys()):
        return
    if axis in chosen and inner in parts.flags(chosen[axis]):
        return
    owners = [
        f"{kind} {choice}"
        for kind in parts.AXES
        for choice, factory in parts.choices(kind).items()
        if kind == (axis or kind) and inner in parts.keywords(factory)
    ]
    if owners:
        picked = ", ".join(f"{axis} {f.__name__}" for axis, f in chosen.items())
        raise UserError(
            f"{flag} belongs to {', '.join(owners)}; chosen here: {picked or 'none'}."
        )
    known = own.union(chosen, *(parts.flags(f) for f in chosen.values()))
    close = difflib.get_close_matches(inner, known, 1, cutoff=0.5)
    hint = f" Did you mean --{close[0].replace('_', '-')}?" if close else ""
    raise UserError(f"there is no flag {flag}.{hint}")


def nest(
    axis: str, chosen: dict[str, parts.Factory], values: dict[str, dict[str, Any]]
) -> parts.Part:
    """A chosen part in the form that settings have, with every argument written out."""
    factory = chosen[axis]
    part: parts.Part = {"name": factory.__name__}
    for name, parameter in parts.flags(factory).items():
        part[name] = values[axis].get(name, parameter.default)
    for name in parts.keywords(factory):
        if name in chosen:
            part[name] = nest(name, chosen, values)
    return json.loads(json.dumps(part))


def finite(value: Any) -> Any:
    """The same JSON value, null for numbers that JSON does not have."""
    if isinstance(value, dict):
        return {name: finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
