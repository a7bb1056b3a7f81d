"""The small classifier in whose features generated images are judged.

`python -m experiments.report.classifier --dataset digits --seed 0` makes it from the
data set and the seed alone, and prints its accuracy and the hash of its parameters.
"""

import functools
import hashlib
import json
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.report import subject as subjects
from experiments.report.subject import Subject
from vaejax.base import Params

NUM_FEATURES = 32
NUM_STEPS = 1500
BATCH_SIZE = 128


class Network(nn.Module):
    """Image to features `[N, 32]`, and these to logits."""

    num_classes: int

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Features and logits."""
        x = nn.relu(nn.Dense(128, name="hidden")(x.reshape(x.shape[0], -1)))
        features = nn.relu(nn.Dense(NUM_FEATURES, name="features")(x))
        return features, nn.Dense(self.num_classes, name="logits")(features)


class Classifier(NamedTuple):
    """A trained classifier, and what is to be known of it."""

    network: Network
    params: Params
    accuracy: float  # on the new images
    params_sha256: str

    def features(self, x: np.ndarray) -> np.ndarray:
        """`[N, 32]`, in double precision for covariances."""
        return np.asarray(self._features(jnp.asarray(x)), np.float64)

    def labels(self, x: np.ndarray) -> np.ndarray:
        """The likeliest class of each image, `[N]`."""
        logits = _apply(self.network, self.params, jnp.asarray(x))[1]
        return np.asarray(logits).argmax(axis=1)

    def _features(self, x: jax.Array) -> jax.Array:
        return _apply(self.network, self.params, x)[0]


@functools.partial(jax.jit, static_argnums=0)
def _apply(
    network: Network, params: Params, x: jax.Array
) -> tuple[jax.Array, jax.Array]:
    return network.apply(params, x)  # type: ignore[return-value]


def train(subject: Subject) -> Classifier:
    """Trains the classifier on the training images with their labels.

    Args:
      subject: images in [0, 1] with labels; its seed is that of the classifier.

    Raises:
      ValueError: if there are no labels.
    """
    if subject.train_label is None or subject.new_label is None:
        raise ValueError(f"{subject.name} has no labels to train a classifier on.")
    num_classes = int(max(subject.train_label.max(), subject.new_label.max())) + 1
    network, optimizer = Network(num_classes), optax.adam(1e-3)
    images, labels = jnp.asarray(subject.train), jnp.asarray(subject.train_label)
    init_key, order_key = jax.random.split(jax.random.key(subject.seed))

    def loss(params: Params, rows: jax.Array) -> jax.Array:
        logits = network.apply(params, images[rows])[1]
        entropy = optax.softmax_cross_entropy_with_integer_labels(logits, labels[rows])
        return entropy.mean()

    def step(i: jax.Array, carry: Any) -> Any:
        params, opt_state = carry
        key = jax.random.fold_in(order_key, i)
        rows = jax.random.randint(key, (BATCH_SIZE,), 0, len(labels))
        updates, opt_state = optimizer.update(jax.grad(loss)(params, rows), opt_state)
        return optax.apply_updates(params, updates), opt_state

    @jax.jit
    def run(key: jax.Array) -> Params:
        params = network.init(key, images[:1])
        return jax.lax.fori_loop(0, NUM_STEPS, step, (params, optimizer.init(params)))[
            0
        ]

    params = run(init_key)
    logits = _apply(network, params, jnp.asarray(subject.new))[1]
    accuracy = float((np.asarray(logits).argmax(axis=1) == subject.new_label).mean())
    return Classifier(network, params, accuracy, sha256(params))


def command(subject: Subject) -> str:
    """The command that makes the classifier of these images again."""
    words = ["python -m experiments.report.classifier --dataset", subject.name]
    if subject.num_images is not None:
        words.append(f"--num-images {subject.num_images}")
    return " ".join([*words, f"--seed {subject.seed}"])


def sha256(params: Params) -> str:
    """SHA-256 of the parameters: path, shape and little-endian bytes, in order."""
    digest = hashlib.sha256()
    for path, leaf in sorted(
        (jax.tree_util.keystr(path), np.asarray(leaf))
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    ):
        digest.update(f"{path}{leaf.shape};".encode())
        digest.update(leaf.astype("<f4").tobytes())
    return digest.hexdigest()


def classifier(
    *,
    dataset: str = "digits",
    data_dir: str | None = None,
    num_images: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Trains the small classifier of the report and says how good it is.

    Args:
      dataset: a data set with labels, as for compare.
      data_dir: folder of its files, where it needs one.
      num_images: how many training images to use; default all.
      seed: of the initial parameters and the batches.
    """
    data = subjects.load(
        dataset, data_dir=data_dir, classes=None, num_images=num_images, seed=seed
    )
    trained = train(data)
    return {
        "dataset": dataset,
        "seed": seed,
        "num_features": NUM_FEATURES,
        "accuracy": trained.accuracy,
        "num_images": len(data.new),
        "params_sha256": trained.params_sha256,
    }


if __name__ == "__main__":
    import tyro

    print(json.dumps(tyro.cli(classifier)))
