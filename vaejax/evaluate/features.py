"""Features to measure distances in: a small classifier made from data and a seed."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from vaejax.base import Key, Params
from vaejax.checks import check_fit
from vaejax.networks import mlp

if TYPE_CHECKING:
    from vaejax.data import Dataset, Split


class Features(NamedTuple):
    """A function of images that says what it is; call it as one."""

    apply: Callable[..., jax.Array]  # [N, ...] in units of 1.0 -> [N, F]
    sha256: str | None  # of its parameters; None where nothing is known of them
    accuracy: float  # on held-out images, as a classifier
    standard_error: float  # of the accuracy
    params: Params | None = None  # for `export_params`; None where there are none

    def __call__(self, x: jax.Array | np.ndarray) -> jax.Array:
        """Features `[N, F]` of images `[N, ...]`, divided by the data's scale."""
        return self.apply(x)


class Classifier(nn.Module):
    """`[N, ...] -> [N, F], [N, num_classes]`: features and logits."""

    hidden: Sequence[int]
    num_classes: int

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Features are the last hidden layer."""
        features = mlp(hidden=self.hidden).copy(name="network")(x)
        return features, nn.Dense(self.num_classes, name="head")(features)


def classifier_features(
    dataset: "Dataset",
    *,
    seed: int = 0,
    hidden: Sequence[int] = (256, 64),
    num_steps: int = 2000,
    batch_size: int = 128,
    learning_rate: float = 1e-3,
) -> Features:
    """The last hidden layer of a multilayer perceptron trained to tell the labels.

    Everything follows from the data and these arguments: the same call on the same
    machine gives the same bits. Another may round otherwise, and the hash then tells
    that its distances are not to be compared with these:

        features = classifier_features(data.load("digits"))
        frechet_distance(features(x), features(y), sha256=features.sha256)

    Args:
      dataset: with labels; the accuracy is that on its test images, or those of its
        validation split where it has none.
      seed: of initial weights and batches.
      hidden: widths of the layers; the last is F.
      num_steps: of Adam, at least 1; there is no early stopping.
      batch_size: images a step, drawn with replacement.
      learning_rate: of Adam, decaying to 0 as a cosine.

    Returns:
      `Features`.

    Raises:
      ValueError: if there are no labels or no held-out images, a count is less than
        1, or the learning rate not positive.
    """
    from vaejax.checkpoint import params_sha256

    check_fit(num_steps, batch_size, learning_rate)
    x, label = _labelled(dataset, dataset.train, "training")
    held_out = dataset.validation if dataset.test is None else dataset.test
    other, truth = _labelled(dataset, held_out, "held-out")
    network = Classifier(tuple(hidden), int(label.max()) + 1)
    schedule = optax.cosine_decay_schedule(learning_rate, num_steps)
    train = functools.partial(_trained, network, optax.adam(schedule))
    compiled = jax.jit(train, static_argnames=("num_steps", "batch_size"))
    params = compiled(
        jax.random.key(seed), x, label, num_steps=num_steps, batch_size=batch_size
    )

    def one(image: jax.Array) -> tuple[jax.Array, jax.Array]:
        features, logits = jax.tree.leaves(network.apply(params, image[None]))
        return features[0], logits[0]

    @jax.jit
    def of_all(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        with jax.default_matmul_precision("highest"):
            return jax.lax.map(one, jnp.asarray(x, jnp.float32), batch_size=256)

    guess = np.asarray(of_all(other)[1]).argmax(axis=-1)
    accuracy = float((guess == truth).mean())
    error = math.sqrt(accuracy * (1 - accuracy) / len(truth))
    sha256 = params_sha256(params)
    return Features(lambda x: of_all(x)[0], sha256, accuracy, error, params)


def _trained(
    network: nn.Module,
    optimizer: optax.GradientTransformation,
    key: Key,
    x: jax.Array,
    label: jax.Array,
    *,
    num_steps: int,
    batch_size: int,
) -> Params:
    """Parameters after `num_steps` steps on the mean cross entropy."""
    init_key, order_key = jax.random.split(key)
    params = network.init(init_key, x[:1])

    def loss(params: Params, rows: jax.Array) -> jax.Array:
        _, logits = network.apply(params, x[rows])
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, label[rows])
        return losses.mean()

    def step(i: jax.Array, state: tuple) -> tuple:
        params, opt_state = state
        key = jax.random.fold_in(order_key, i)
        rows = jax.random.randint(key, (batch_size,), 0, len(x))
        gradient = jax.grad(loss)(params, rows)
        updates, opt_state = optimizer.update(gradient, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    start = params, optimizer.init(params)
    return jax.lax.fori_loop(0, num_steps, step, start)[0]


def _labelled(
    dataset: "Dataset", split: "Split", kind: str
) -> tuple[np.ndarray, np.ndarray]:
    """The images whose label is known, in units of 1.0, and their labels."""
    label = np.zeros(0, np.int32) if split.label is None else split.label
    known = np.flatnonzero(label >= 0)
    if not len(known):
        raise ValueError(
            f"The data set {dataset.name} has no {kind} images with labels: choose "
            "another, or measure in features of your own."
        )
    image = np.asarray(split.image[known], np.float32) / np.float32(dataset.scale)
    return image, label[known]
