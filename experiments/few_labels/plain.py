"""Classifiers that see the labelled images alone."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.model_selection import GridSearchCV

import vaejax
from experiments.few_labels.task import Task
from vaejax.base import Key, Params
from vaejax.networks.heads import Headed

DECAYS = (1e-4, 1e-2, 1e-1, 1.0)  # of the network's weights
NUM_STEPS = 1000  # each on all labelled images
LEARNING_RATE = 1e-3
PENALTIES = (1e-2, 1e-1, 1.0, 10.0, 100.0)  # C of scikit-learn: larger is weaker
NUM_FOLDS = 5  # of the cross-validation that chooses it, on the labelled images


def plain(key: Key, classifier: Headed, task: Task) -> np.ndarray:
    """Errors `[S]` of the network of q(y|x) on labelled images, at the best decay."""

    def fit(key: Key, decay: jax.Array, x: jax.Array, label: jax.Array) -> Params:
        optimizer = optax.adamw(LEARNING_RATE, weight_decay=decay)
        init_key, noise_key = jax.random.split(key)

        def loss(params: Params, key: Key) -> jax.Array:
            logits = classifier.apply(params, vaejax.data.binarize(key, x, scale=1.0))
            entropy = optax.softmax_cross_entropy_with_integer_labels(logits, label)
            return entropy.mean()

        def step(i: jax.Array, carry: Any) -> Any:
            params, opt_state = carry
            grads = jax.grad(loss)(params, jax.random.fold_in(noise_key, i))
            updates, opt_state = optimizer.update(grads, opt_state, params)
            return optax.apply_updates(params, updates), opt_state

        params = classifier.init(init_key, x)
        return jax.lax.fori_loop(0, NUM_STEPS, step, (params, optimizer.init(params)))[
            0
        ]

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(0, None, 0, 0))
    @functools.partial(jax.vmap, in_axes=(None, 0, None, None))
    def predicted(
        key: Key, decay: jax.Array, x: jax.Array, label: jax.Array
    ) -> jax.Array:
        params = fit(key, decay, x, label)
        return classifier.apply(params, jnp.asarray(task.test)).argmax(axis=-1)

    keys = jax.random.split(key, len(task.labelled))
    x, label = task.train[task.labelled], task.train_label[task.labelled]
    errors = task.errors(predicted(keys, jnp.array(DECAYS), x, label))  # [S, decays]
    return errors[:, errors.mean(axis=0).argmin()]


def shallow(
    task: Task, features: list[tuple[np.ndarray, np.ndarray]], estimator: Any
) -> np.ndarray:
    """Errors `[S]` of a scikit-learn classifier of features of training and test."""
    errors = []
    for rows, (train, test) in zip(task.labelled, features, strict=True):
        x, label = train[rows].reshape(len(rows), -1), task.train_label[rows]
        search = GridSearchCV(estimator, {"C": PENALTIES}, cv=NUM_FOLDS).fit(x, label)
        errors.append(task.errors(search.predict(test.reshape(len(test), -1))))
    return np.array(errors)
