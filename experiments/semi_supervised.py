"""What unlabelled images teach a classifier that has seen a hundred labels.

    python -m experiments semi_supervised --dataset digits --num-labels 100

The models M1 and M2 of Kingma et al., 2014 (https://arxiv.org/abs/1406.5298), and for
comparison the classifier of M2 trained on the labelled images alone. Every method has
the same labelled images, as many of each class; networks see images that are binarised
anew each time. None sees a test image, but for a favour to the plain classifier: of
four weight decays it has the one that is best on the test images.
"""

import time
from typing import Any

import jax
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from experiments.errors import UserError
from experiments.few_labels.generative import Training, m1_codes, m2, m2_model
from experiments.few_labels.plain import NUM_FOLDS, plain, shallow
from experiments.few_labels.task import load
from experiments.loop import say
from experiments.optimizer import check_learning_rate
from experiments.scoring import check_seed
from experiments.workdir import made, write_json
from vaejax import checks, networks, objectives


def semi_supervised(
    *,
    dataset: str = "digits",
    data_dir: str | None = None,
    num_labels: int = 100,
    num_seeds: int = 5,
    hidden: tuple[int, ...] = (128, 128),
    m1_hidden: tuple[int, ...] = (256,),
    latent_dim: int = 20,
    beta: float = 3.0,
    alpha: float = 200.0,
    num_steps: int = 3000,
    batch_size: int = 100,
    learning_rate: float = 2e-3,
    test_fraction: float = 0.2,
    seed: int = 0,
    workdir: str = "runs/semi_supervised",
) -> dict[str, Any]:
    """Compares M1, M2 and a plain classifier that are given a few labels.

    Prints a table of test errors with their standard errors over the seeds; writes it
    to semi_supervised.json.

    Args:
      dataset: labelled images in the unit interval: digits, mnist, idx:FOLDER,
        npz:FILE or tfds:NAME. All its held-out images are the test.
      data_dir: folder of the files of mnist and fashion_mnist, or of tfds: sets.
      num_labels: how many training images keep their label, the same of each class.
      num_seeds: how often all is done, each time with other labelled images.
      hidden: widths of the networks of M2 and of the plain classifier.
      m1_hidden: widths of those of M1, whose codes tell more in shallow ones.
      latent_dim: how many numbers describe an image besides its class.
      beta: weight of the rate in M2. With less the code can do without the label.
      alpha: weight in M2 of the classification of a labelled image. The paper's, 0.1
        times the training images over the labelled ones, is meant for 50,000: with few
        unlabelled images the classes drift before they are learned.
      num_steps: of M1 and M2.
      batch_size: images per step.
      learning_rate: at the first step; it falls to 0.
      test_fraction: share held out for the test, of a set without a split of its own.
      seed: of everything random.
      workdir: where the result goes.

    Raises:
      UserError: if the settings or the data do not allow it.
    """
    begin = time.perf_counter()
    check_seed(seed)
    check_learning_rate(learning_rate)
    if (
        min(num_labels, num_steps, batch_size, latent_dim, *hidden, *m1_hidden) < 1
        or num_seeds < 2
    ):
        raise UserError("counts and widths must be at least 1, and --num-seeds 2.")
    if not 0 < test_fraction < 1:
        raise UserError(f"--test-fraction must be from 0 to 1, got {test_fraction}.")
    classifier = networks.mlp(hidden=hidden)
    try:
        bound = objectives.elbo(beta=beta)
        checks.check_weights(alpha=alpha)
    except ValueError as error:
        raise UserError(str(error)) from error
    folder = made(workdir)
    task = load(dataset, data_dir, num_labels, num_seeds, test_fraction, seed)
    if num_labels < NUM_FOLDS * task.num_classes:
        raise UserError(
            f"--num-labels must be at least {NUM_FOLDS} of each of the "
            f"{task.num_classes} classes, for the cross-validation of the SVM."
        )
    if batch_size > len(task.train):
        raise UserError(f"--batch-size must be at most {len(task.train)}.")
    training = Training(num_steps, batch_size, learning_rate)
    plain_key, m1_key, m2_key = jax.random.split(jax.random.key(seed), 3)
    judge = networks.headed(classifier, task.num_classes)
    errors = {"plain classifier": plain(plain_key, judge, task)}
    pixels = [(task.train, task.test)] * num_seeds
    errors["SVM on pixels"] = shallow(task, pixels, SVC())
    codes = m1_codes(m1_key, task, m1_hidden, latent_dim, training)
    errors["M1 + logistic regression"] = shallow(
        task, codes, LogisticRegression(max_iter=5000)
    )
    errors["M1 + SVM"] = shallow(task, codes, SVC())
    model = m2_model(task, hidden, latent_dim)
    objective = objectives.m2(bound, judge, alpha=alpha)
    errors["M2"] = m2(m2_key, model, objective, judge, task, training)
    rows = [_row(name, own, errors["plain classifier"]) for name, own in errors.items()]
    result = {
        "rows": rows,
        "dataset": dataset,
        "num_train": len(task.train),
        "num_test": len(task.test),
        "num_labels": num_labels,
        "num_seeds": num_seeds,
        "alpha": alpha,
        "beta": beta,
        "seconds": round(time.perf_counter() - begin, 1),
    }
    write_json(folder / "semi_supervised.json", result)
    say(_table(result))
    return result | {"workdir": workdir}


def _row(name: str, errors: np.ndarray, plain: np.ndarray) -> dict[str, Any]:
    """Mean and standard error over the seeds, of the error and of what it gains."""

    def standard_error(x: np.ndarray) -> float:
        return float(x.std(ddof=1) / np.sqrt(len(x)))

    return {
        "name": name,
        "error": float(errors.mean()),
        "standard_error": standard_error(errors),
        "difference": float((errors - plain).mean()),
        "difference_standard_error": standard_error(errors - plain),
        "errors": errors.tolist(),
    }


def _table(result: dict[str, Any]) -> str:
    """The test errors in per cent, and their paired differences to the first row."""
    lines = [
        f"{result['dataset']}: {result['num_labels']} labels, "
        f"{result['num_train']:,} images, {result['num_test']:,} test images, "
        f"{result['num_seeds']} seeds",
        f"{'test error in %':26}{'':14}{'to the first':>18}",
    ]
    for row in result["rows"]:
        error = f"{100 * row['error']:.1f} +- {100 * row['standard_error']:.1f}"
        gap = f"{100 * row['difference']:+.1f} +- "
        gap += f"{100 * row['difference_standard_error']:.1f}"
        lines.append(f"{row['name']:26}{error:>14}{gap:>18}")
    return "\n".join(lines)
