"""Core types: a model is three families of distributions, an objective is a loss.

Everything else in the library is a factory of one of these. All are pure functions of
explicit parameters and explicit keys; nothing here knows of networks or devices.
"""

import functools
import operator
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, Self

import jax

Key = jax.Array  # a typed key, or one per example: `[B]`
Params = dict[str, Any]  # a pytree of arrays, named at the top by its owner
Metrics = dict[str, jax.Array]  # each `[B, ...]`, or its mean `[...]`
X = Any  # a pytree of arrays `[B, ...]`: an image, (value, mask), (x, y), modalities
Z = Any  # an array `[..., B, D]`, or a tuple of them in a hierarchy


def split(key: Key, num: int = 2) -> tuple[Key, ...]:
    """Splits a key, or each key of an array, into `num` keys of the same shape."""

    def one(key: Key) -> tuple[Key, ...]:
        return tuple(jax.random.split(key, num))

    return one(key) if key.ndim == 0 else jax.vmap(one)(key)


class Distribution:
    """A frozen pytree; a family writes `sample` and `log_prob`, inherits the rest."""

    # Which values have a density: "real", "binary", "unit_interval", "levels" (of grey,
    # in [0, 1]) or "counts".
    support: ClassVar[str] = "real"
    # Whether `distortion` fits a parameter to all values that it is given at once.
    fits_batch: ClassVar[bool] = False
    # Whether unsummed terms, where there are any, are the densities of single elements.
    independent: ClassVar[bool] = True

    def sample(self, key: Key, sample_shape: tuple[int, ...] = ()) -> Z:
        """Draws `[*sample_shape, *batch_shape, *event_shape]`.

        A `[B]` key draws each example from its own key: it broadcasts against the last
        batch axis, as any other `[B]` argument would.
        """
        raise TypeError(f"{type(self).__name__} cannot be sampled.")

    def log_prob(self, value: Z) -> jax.Array:
        """Log density in nats, summed over the event: `[..., *batch_shape]`."""
        raise TypeError(f"{type(self).__name__} has no density.")

    def mean(self) -> Any:
        """The expectation, `[*batch_shape, *event_shape]`."""
        raise TypeError(f"{type(self).__name__} has no mean in closed form.")

    def mode(self) -> Any:
        """The likeliest value, `[*batch_shape, *event_shape]`."""
        raise TypeError(f"{type(self).__name__} has no mode in closed form.")

    def num_values(self) -> int | None:
        """How many levels there are, or counts from 0 on; None for infinitely many."""
        return None

    def replace(self, **fields: Any) -> Self:
        """A copy with other fields; `flax.struct.dataclass` writes it."""
        raise TypeError(f"{type(self).__name__} is not a flax.struct.dataclass.")

    def distortion(self, value: Z) -> jax.Array:
        """What training minimises for a likelihood: `-log_prob(value)`.

        A likelihood that fits a nuisance parameter to the batch overrides it (see
        `likelihoods.normal(scale="optimal")`); evaluation always uses `log_prob`.
        """
        return -self.log_prob(value)

    def sample_and_log_prob(
        self, key: Key, sample_shape: tuple[int, ...] = ()
    ) -> tuple[Z, jax.Array]:
        """Both in one pass; flows override it."""
        value = self.sample(key, sample_shape)
        return value, self.log_prob(value)

    def sample_and_rates(
        self,
        key: Key,
        prior: "Distribution",
        rate: "Rate",
        sample_shape: tuple[int, ...] = (),
    ) -> tuple[Z, tuple[jax.Array, ...]]:
        """Draws z and its rate against `prior`: one `[*sample_shape, B]` per layer.

        Hierarchies override it: one top-down pass yields z and the rate of each layer.
        """
        z, log_q = self.sample_and_log_prob(key, sample_shape)
        return z, (rate(self, prior, z, log_q),)


# An estimate of KL(q || p), z ~ q: `(q, p, z, log q(z)) -> [..., B]`. See `rates.py`.
Rate = Callable[[Distribution, Distribution, Z, jax.Array], jax.Array]


class Family(NamedTuple):
    """Distributions with parameters: q(z|x) of x, p(x|z) of z, p(z) of `encode`."""

    init: Callable[[Key, Any], Any]
    make: Callable[[Any, Any], Distribution]


class Model(NamedTuple):
    """A latent-variable model p(x|z) p(z) with an approximate posterior q(z|x)."""

    init: Callable[[Key, X], Params]
    encode: Callable[[Params, X], Distribution]  # q(z|x), batch shape [B]
    decode: Callable[[Params, Z], Distribution]  # p(x|z), keeps leading axes of z
    prior: Callable[[Params], Distribution]  # p(z), batch shape []


class ConditionalModel(NamedTuple):
    """A `Model` for every condition y; batches are `(x, y)`."""

    init: Callable[[Key, X], Params]
    given: Callable[[Any], Model]

    def __getattr__(self, name: str) -> Any:
        """Says what there is to do, where somebody wanted a `Model`."""
        raise AttributeError(
            f"A ConditionalModel has no {name!r}, since it waits for a condition: give "
            "model.given(y), or train with vaejax.objectives.conditional(objective)."
        )


def nothing(*args: Any) -> dict[str, Any]:
    """The `init` of what has nothing to learn."""
    return {}


def unchanged(tree: Any) -> Any:
    """What there is no need to change."""
    return tree


class Objective(NamedTuple):
    """A loss `[B]` to minimise, in nats; it never reduces over the batch.

    Most objectives are `Objective(loss)`; one that learns has an `init`, whose result
    joins the model's parameters as `params["objective"]`.
    """

    # Each takes `(key, model, params, x)`; most models are a `Model`, and that of
    # batches `(x, y)` is a `ConditionalModel`. The loss is given `[B]` keys.
    loss: Callable[[Key, Any, Params, X], tuple[jax.Array, Metrics]]
    init: Callable[[Key, Any, Params, X], Any] = nothing
    visible: Callable[[X], X] = unchanged  # what others may see of a batch
    # What the means of the metrics over the global batch come to, such as a variance.
    summary: Callable[[Metrics], Metrics] = unchanged


def total_rate(rates: tuple[jax.Array, ...]) -> jax.Array:
    """The sum of the rates of all layers, `[..., B]`."""
    return functools.reduce(operator.add, rates)
