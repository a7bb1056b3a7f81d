"""Parts by name: a public function of its module is a choice, its keywords are flags.

A part in settings is `{"name": "elbo", "beta": 4.0}`: the name of a factory in the
module of its axis, and values for the keyword-only arguments of that factory. Those
of its arguments that are axes themselves are parts again. There is no table of names:
`vaejax.priors` is the list of priors.

A name `package.module:function` is a part from outside the library. It is imported only
where it is allowed by name, which the command line does for what was typed there.
"""

import difflib
import functools
import importlib
import inspect
import reprlib
import typing
from collections.abc import Callable, Collection
from types import ModuleType
from typing import Any

import vaejax
from experiments import models
from experiments.errors import UserError
from vaejax import flows, samplers, schedules

Part = dict[str, Any]
Factory = Callable[..., Any]

# Axis: the module to choose from, and the positional arguments of its factories.
AXES: dict[str, tuple[ModuleType, tuple[str, ...]]] = {
    "model": (models, ("event_shape",)),
    "posterior": (vaejax.posteriors, ("encoder", "latent_dim")),
    "prior": (vaejax.priors, ("latent_dim",)),
    "likelihood": (vaejax.likelihoods, ("decoder", "event_shape")),
    "objective": (vaejax.objectives, ()),
    "network": (vaejax.networks, ()),
    "flow": (flows, ()),
    "schedule": (schedules, ()),
    "sampler": (samplers, ()),
}
MAX_LAYERS = 100  # of anything that Python unrolls: settings are untrusted
UNROLLED = ("num_flows", "num_blocks")
FROM_DATA = ("num_examples",)  # arguments that `train` fills in where they are None


def choices(axis: str) -> dict[str, Factory]:
    """The factories to choose from on an axis, by name."""
    module, wiring = AXES[axis]
    functions = inspect.getmembers(module, inspect.isfunction)
    return {
        name: function
        for name, function in functions
        if not name.startswith("_")
        and function.__module__.startswith(module.__name__)
        and positional(function) == wiring
    }


def positional(function: Factory) -> tuple[str, ...]:
    """The names of a factory's positional arguments, which are wiring."""
    parameters = inspect.signature(function).parameters.values()
    return tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD)


def keywords(function: Factory) -> dict[str, inspect.Parameter]:
    """The keyword-only arguments of a factory, with their types."""
    hints = typing.get_type_hints(function)
    parameters = inspect.signature(function).parameters.values()
    return {
        p.name: p.replace(annotation=hints.get(p.name, Any))
        for p in parameters
        if p.kind is p.KEYWORD_ONLY
    }


def axes(function: Factory) -> dict[str, Factory]:
    """Those of its keyword-only arguments that are parts, with their defaults."""
    return {
        name: p.default
        for name, p in keywords(function).items()
        if name in AXES and callable(p.default) and p.default is not p.empty
    }


def flags(function: Factory) -> dict[str, inspect.Parameter]:
    """Those of its keyword-only arguments that are plain values, for the user to set.

    One that is filled in from the data is None until then, whatever its default.
    """
    plain = {
        name: p
        for name, p in keywords(function).items()
        if p.default is p.empty or not callable(p.default)
    }
    for name in plain.keys() & set(FROM_DATA):
        plain[name] = plain[name].replace(default=None, annotation=int | None)
    return plain


def choose(axis: str, name: str, allow: Collection[str] = ()) -> Factory:
    """The factory of this name.

    Args:
      axis: where to look.
      name: of a public function of the library, or `package.module:function`.
      allow: names of the latter form that may be imported.

    Raises:
      UserError: if there is none, or its code may not be imported.
    """
    if ":" in name:
        return _outsider(axis, name, allow)
    table, asked = choices(axis), name.replace("-", "_")
    if asked not in table:
        close = difflib.get_close_matches(asked, table, 1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise UserError(
            f"{axis} must be one of {', '.join(table)}, or package.module:name; got "
            f"{name[:100]!r}.{hint}"
        )
    return table[asked]


def _outsider(axis: str, name: str, allow: Collection[str]) -> Factory:
    """The factory `package.module:function`, imported if it is allowed.

    Raises:
      UserError: if it is not, or there is no such function, or one of other wiring.
    """
    if name not in allow:
        raise UserError(
            f"these settings name code from outside the library, the {axis} {name}: "
            f"repeat --{axis} {name} to let it be imported and run."
        )
    module_name, _, function_name = name.partition(":")
    try:
        factory = getattr(importlib.import_module(module_name), function_name)
    except ModuleNotFoundError as error:
        if not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there, and lacks another one
        raise UserError(f"--{axis} {name}: there is no module {error.name}.") from error
    except (AttributeError, ValueError) as error:
        raise UserError(f"--{axis} {name}: {error}.") from error
    wiring = AXES[axis][1]
    if not callable(factory) or len(positional(factory)) != len(wiring):
        raise UserError(
            f"--{axis} {name} must be a function whose positional arguments are "
            f"({', '.join(wiring)}), its flags keyword-only."
        )
    return factory


def outsiders(part: Part) -> list[str]:
    """The names of code from outside the library in a part and its parts."""
    inner = [value for value in part.values() if isinstance(value, dict)]
    own = [name for name in [part.get("name")] if isinstance(name, str) and ":" in name]
    return own + [name for value in inner for name in outsiders(value)]


def fill(part: Part, values: dict[str, Any]) -> Part:
    """The part, and its parts, with arguments that are None given these values."""
    filled: Part = {}
    for name, value in part.items():
        if isinstance(value, dict):
            filled[name] = fill(value, values)
        else:
            filled[name] = values.get(name) if value is None else value
    return filled


def build(axis: str, part: Part, allow: Collection[str] = ()) -> Factory:
    """The factory that a part names, with its arguments applied.

    Args:
      axis: what kind of part it is.
      part: in the form described above.
      allow: names of code from outside the library that may be imported.

    Raises:
      UserError: if the part is not of that form.
    """
    if not isinstance(part, dict) or not isinstance(part.get("name"), str):
        raise UserError(
            f"{axis} must be an object with a name, got {reprlib.repr(part)}."
        )
    factory = choose(axis, part["name"], allow)
    known, arguments = keywords(factory), {}
    for name, value in part.items():
        if name == "name":
            continue
        if name not in known:
            raise UserError(f"{axis} {part['name']} has no argument {name[:100]!r}.")
        if name in axes(factory):
            value = build(name, value, allow)
        _check_layers(f"{axis} {part['name']}: {name}", name, value)
        arguments[name] = tuple(value) if isinstance(value, list) else value
    return functools.partial(factory, **arguments)


def _check_layers(what: str, name: str, value: Any) -> None:
    many = isinstance(value, list | tuple) and len(value) > MAX_LAYERS
    deep = name in UNROLLED and isinstance(value, int) and value > MAX_LAYERS
    if many or deep:
        got = f"{len(value)} values" if many else value
        raise UserError(f"{what} may have at most {MAX_LAYERS}, got {got}.")
