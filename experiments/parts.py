"""Parts by name: a public function of its module is a choice, its keywords are flags.

A part in settings is `{"name": "elbo", "beta": 4.0}`: the name of a factory in the
module of its axis, and values for the keyword-only arguments of that factory. Those
of its arguments that are axes themselves are parts again. There is no table of names:
`vaejax.priors` is the list of priors.
"""

import difflib
import functools
import inspect
import typing
from collections.abc import Callable
from types import ModuleType
from typing import Any

import vaejax
from experiments import models
from experiments.errors import UserError

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
}


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
    """The keyword-only arguments of a factory, which are flags, with their types."""
    hints = typing.get_type_hints(function)
    parameters = inspect.signature(function).parameters.values()
    return {
        p.name: p.replace(annotation=hints.get(p.name, Any))
        for p in parameters
        if p.kind is p.KEYWORD_ONLY
    }


def flags(function: Factory) -> dict[str, inspect.Parameter]:
    """The keyword-only arguments that are plain values: no axes, no functions."""
    return {
        name: p
        for name, p in keywords(function).items()
        if name not in AXES and (p.default is p.empty or not callable(p.default))
    }


def choose(axis: str, name: str) -> Factory:
    """The factory of this name.

    Raises:
      UserError: if there is none; the message lists those there are.
    """
    table, asked = choices(axis), name.replace("-", "_")
    if asked not in table:
        close = difflib.get_close_matches(asked, table, 1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise UserError(
            f"{axis} must be one of {', '.join(table)}; got {name!r}.{hint}"
        )
    return table[asked]


def build(axis: str, part: Part) -> Factory:
    """The factory that a part names, with its arguments applied.

    Raises:
      UserError: if the part is not of the form described above.
    """
    if not isinstance(part, dict) or not isinstance(part.get("name"), str):
        raise UserError(f"{axis} must be an object with a name, got {part!r}.")
    factory = choose(axis, part["name"])
    known, arguments = keywords(factory), {}
    for name, value in part.items():
        if name == "name":
            continue
        if name not in known:
            raise UserError(f"{axis} {part['name']} has no argument {name!r}.")
        if name in AXES:
            value = build(name, value)
        arguments[name] = tuple(value) if isinstance(value, list) else value
    return functools.partial(factory, **arguments)
