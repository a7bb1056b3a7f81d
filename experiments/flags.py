"""The grammar of flags: how words reach the arguments of a verb and of its parts.

Flags come from signatures and help from docstrings. An argument named in `parts.AXES`
chooses a part by name, and the flags of that part join, its own parts included. A flag
is the end of a path, as the resolved settings have it (`model.prior.num_components`):
`--num-components` reaches every chosen part that has it, `--prior.num-components` that
of the prior alone; the longer wins. So too with parts: `--flow` and `--prior.flow`.
"""

import difflib
import inspect
import json
from collections.abc import Callable, Collection
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin
from typing import get_type_hints as hints_of

from experiments import parts
from experiments.errors import UserError

ALLOW = "allow"  # the argument of a verb that reads a run, filled by repeated flags

Path = tuple[str, ...]  # of a part or flag, such as ("model", "prior", "flow")


class Choice(NamedTuple):
    """A chosen part: its name as typed, and what it names."""

    name: str
    factory: parts.Factory


Chosen = dict[Path, Choice]


class Flag(NamedTuple):
    """A flag as typed: `--prior.num-components 500`."""

    path: Path  # ("prior", "num_components")
    words: list[str]  # the flag itself, and its values


def read(argv: list[str]) -> list[Flag]:
    """Each flag with its values; `--a=b` is `--a b`."""
    typed: list[Flag] = []
    for arg in argv:
        if arg.startswith("-") and not _is_number(arg):
            name, *value = arg.split("=", 1)
            path = name.lstrip("-").replace("-", "_").split(".")
            typed.append(Flag(tuple(path), [name, *value]))
        elif typed:
            typed[-1].words.append(arg)
        else:
            raise UserError(f"expected a flag, such as --help; got {arg!r}.")
    return typed


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def positional_values(
    function: Callable[..., Any], argv: list[str]
) -> tuple[dict[str, str], list[str]]:
    """The leading words of a command, for the positional arguments of a function."""
    hints, words = hints_of(function), {}
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


def choose_parts(
    function: Callable[..., Any], roots: dict[str, str], typed: list[Flag]
) -> tuple[Chosen, list[Flag]]:
    """The parts of a command, and the flags that chose none.

    Args:
      function: the verb; its keyword arguments may be parts too.
      roots: the names of its positional arguments that are parts.
      typed: all flags.
    """
    chosen: Chosen = {(axis,): _named(axis, word) for axis, word in roots.items()}
    used: list[Flag] = []
    queue: list[tuple[Path, parts.Factory]] = [((), function)]
    queue += [(path, choice.factory) for path, choice in chosen.items()]
    while queue:
        owner, factory = queue.pop(0)
        for axis, default in parts.axes(factory).items():
            path = (*owner, axis)
            flags = [flag for flag in typed if _reaches(flag, path)]
            choice = Choice(default.__name__, default)
            for flag in sorted(flags, key=lambda flag: len(flag.path)):
                choice = _named(axis, _value(flag, axis))  # the longest is the last
            used += flags
            chosen[path] = choice
            queue.append((path, choice.factory))
    return chosen, [flag for flag in typed if flag not in used]


def _named(axis: str, name: str) -> Choice:
    """The part of this name, which was typed and may so be imported."""
    factory = parts.choose(axis, name, allow=[name])
    return Choice(name if ":" in name else factory.__name__, factory)


def _value(flag: Flag, axis: str) -> str:
    if len(flag.words) != 2:
        raise UserError(
            f"{flag.words[0]} needs one of {', '.join(parts.choices(axis))}; got "
            f"{' '.join(flag.words[1:]) or 'nothing'}."
        )
    return flag.words[1]


def _reaches(flag: Flag, path: Path) -> bool:
    """Whether a flag is the end of a path."""
    return path[-len(flag.path) :] == flag.path


def allowed(typed: list[Flag]) -> tuple[tuple[str, ...], list[Flag]]:
    """Names of code that the settings of a run may have imported, and other flags.

    They are allowed by repeating what chose them, `--objective package.module:name`.
    """
    repeated = [
        flag
        for flag in typed
        if flag.path[-1] in parts.AXES and len(flag.words) == 2 and ":" in flag.words[1]
    ]
    names = tuple(flag.words[1] for flag in repeated)
    return names, [flag for flag in typed if flag not in repeated]


def parse(
    function: Callable[..., Any],
    own: dict[str, inspect.Parameter],
    chosen: Chosen,
    typed: list[Flag],
    program: str,
) -> tuple[dict[str, Any], dict[Path, dict[str, Any]]]:
    """The values of the flags of a function, and of those of each chosen part."""
    import tyro

    def dictionary(like: Callable[..., Any], flags: list[inspect.Parameter]) -> Any:
        """A function of these flags that returns them, with the help of another."""

        def values(**kwargs: Any) -> dict[str, Any]:
            return kwargs

        values.__name__, values.__doc__ = like.__name__, like.__doc__
        values.__dict__["__signature__"] = inspect.Signature(flags)
        values.__annotations__ = {p.name: p.annotation for p in flags}
        return values

    def field(name: str, argument: Any, like: Any, **default: Any) -> inspect.Parameter:
        kind = inspect.Parameter.KEYWORD_ONLY
        annotation = Annotated[like, argument]
        return inspect.Parameter(name, kind, annotation=annotation, **default)

    fields = list(own.values())
    for path, choice in chosen.items():
        flags = list(parts.flags(choice.factory).values())
        if flags:
            group = dictionary(choice.factory, flags)
            argument = tyro.conf.arg(name=shown(path), constructor=group)
            fields.append(field("__".join(path), argument, Any))
    lines = (inspect.getdoc(function) or "").splitlines()[:1]
    lines += menu(chosen, parts.positional(function))
    if ALLOW in inspect.signature(function).parameters:
        lines.append("--PART package.module:name: repeated, where train was given one")
    values = tyro.cli(
        dictionary(function, fields),
        args=spread(typed, chosen, set(own)),
        prog=program,
        description="\n".join(lines),
    )
    return values, {path: values.pop("__".join(path), {}) for path in chosen}


def shown(path: Path) -> str:
    """A path without its root, which goes without saying: `prior.flow`."""
    return ".".join(path[1:] or path)


def menu(chosen: Chosen, roots: Collection[str]) -> list[str]:
    """What there is to choose from, a line for each part, and what is chosen."""
    lines = []
    for path, choice in chosen.items():
        if len(path) > 1 or path[0] not in roots:
            names = dict.fromkeys([*parts.choices(path[-1]), choice.name])
            marked = [f"[{n}]" if n == choice.name else n for n in names]
            lines.append(f"--{shown(path)}: {', '.join(marked)}")
    return lines


def spread(typed: list[Flag], chosen: Chosen, own: set[str]) -> list[str]:
    """`--hidden 64` as `--network.hidden 64`; longer ones go last, so that they win.

    Raises:
      UserError: for a flag of a part that is not chosen.
    """
    argv: list[str] = []
    for flag in sorted(typed, key=lambda flag: len(flag.path)):
        name, *values = flag.words
        owners = [
            path
            for path, choice in chosen.items()
            if _takes(choice.factory, flag.path[-1])
            and _reaches(flag, (*path, flag.path[-1]))
        ]
        if len(flag.path) == 1 and flag.path[0] in own | {"h", "help"}:
            argv += [name, *values]
        elif not owners:
            refuse_unknown(flag, chosen, own)
        else:
            leaf = flag.path[-1].replace("_", "-")
            for path in owners:
                argv += [f"--{shown(path)}.{leaf}", *values]
    return argv


def _takes(factory: parts.Factory, word: str) -> bool:
    """Whether a factory has this flag; `no_x` switches x off."""
    flags, off = parts.flags(factory), word.removeprefix("no_")
    return word in flags or (off in flags and isinstance(flags[off].default, bool))


def refuse_unknown(flag: Flag, chosen: Chosen, own: set[str]) -> None:
    """Says whose a flag is that no chosen part has, or which was meant.

    Raises:
      UserError: always.
    """
    *outer, inner = flag.path
    kinds = [outer[-1]] if outer and outer[-1] in parts.AXES else list(parts.AXES)
    kinds = kinds if chosen or inner in parts.AXES else []  # a verb without parts
    owners = [
        f"{kind} {name}"
        for kind in kinds
        for name, factory in parts.choices(kind).items()
        if inner in parts.flags(factory).keys() | parts.axes(factory).keys()
    ]
    if owners:
        picked = ", ".join(
            f"{shown(path)} {choice.name}" for path, choice in chosen.items()
        )
        raise UserError(
            f"{flag.words[0]} belongs to {', '.join(owners)}; chosen here: "
            f"{picked or 'none'}."
        )
    known = own.union(*(path[1:] for path in chosen))
    known |= {
        name for choice in chosen.values() for name in parts.flags(choice.factory)
    }
    close = difflib.get_close_matches(inner, known, 1, cutoff=0.5)
    hint = f" Did you mean --{close[0].replace('_', '-')}?" if close else ""
    raise UserError(f"there is no flag {flag.words[0]}.{hint}")


def nest(path: Path, chosen: Chosen, values: dict[Path, dict[str, Any]]) -> parts.Part:
    """A chosen part in the form that settings have, with every argument written out."""
    name, factory = chosen[path]
    part: parts.Part = {"name": name} | values[path]
    for axis in parts.axes(factory):
        part[axis] = nest((*path, axis), chosen, values)
    return json.loads(json.dumps(part))
