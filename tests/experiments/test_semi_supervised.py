import json

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from experiments import cli
from experiments.errors import UserError
from experiments.few_labels.plain import shallow
from experiments.few_labels.task import load


@pytest.fixture
def squares(tmp_path):
    """Bright quarters of 6 x 6 images, on and off at random elsewhere."""
    rng, label = np.random.default_rng(0), np.arange(600) % 4
    image = rng.random((600, 6, 6)) < 0.1
    for i, place in enumerate(label):
        row, column = 3 * (place // 2), 3 * (place % 2)
        image[i, row : row + 3, column : column + 3] ^= rng.random((3, 3)) < 0.6
    np.savez(tmp_path / "F.npz", image=image, label=label)
    return f"npz:{tmp_path}/F.npz"


def test_every_seed_labels_as_many_images_of_each_class_and_other_ones(squares):
    task = load(squares, None, 20, 3, 0.25, 0)
    assert (task.train.shape, task.test.shape) == ((450, 6, 6), (150, 6, 6))
    assert task.labelled.shape == (3, 20)
    for rows in task.labelled:
        assert len(set(rows)) == 20
        assert np.bincount(task.train_label[rows]).tolist() == [5] * 4
    assert set(task.labelled[0]) != set(task.labelled[1])
    again = load(squares, None, 20, 2, 0.25, 0)
    np.testing.assert_array_equal(again.labelled, task.labelled[:2])


def test_labels_that_do_not_divide_into_classes_are_an_error(squares):
    with pytest.raises(UserError, match=r"multiple of the 4 classes.*got 10"):
        load(squares, None, 10, 3, 0.25, 0)
    with pytest.raises(UserError, match="at most"):
        load(squares, None, 4000, 3, 0.25, 0)


def test_errors_are_shares_of_the_test_images(squares):
    task = load(squares, None, 20, 2, 0.25, 0)
    wrong = (task.test_label + 1) % 4
    half = np.where(np.arange(150) < 75, task.test_label, wrong)
    predicted = np.stack([task.test_label, wrong, half])
    np.testing.assert_allclose(task.errors(predicted), [0, 1, 0.5])


def test_a_shallow_classifier_learns_from_the_labelled_rows_alone(squares):
    task = load(squares, None, 20, 1, 0.25, 0)
    shuffled = task.train_label.copy()
    hidden = np.setdiff1d(np.arange(450), task.labelled)
    shuffled[hidden] = 0  # labels that no method may see
    features = [(task.train, task.test)]
    errors = shallow(task, features, LogisticRegression())
    blind = shallow(task._replace(train_label=shuffled), features, LogisticRegression())
    np.testing.assert_array_equal(errors, blind)
    assert errors.shape == (1,)
    assert (errors < 0.7).all()  # chance is 0.75


@pytest.mark.slow
def test_unlabelled_images_help_where_classes_are_clusters(squares, tmp_path, capsys):
    argv = f"semi_supervised --dataset {squares} --workdir {tmp_path}/run "
    argv += "--num-labels 20 --num-seeds 3 --hidden 32 --latent-dim 2 --beta 1 "
    argv += "--num-steps 800 --batch-size 50 --learning-rate 5e-3"
    assert cli.main(argv.split()) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out.splitlines()[-1])
    rows = {row["name"]: row for row in result["rows"]}
    assert list(rows) == [
        "plain classifier",
        "SVM on pixels",
        "M1 + logistic regression",
        "M1 + SVM",
        "M2",
    ]
    for row in rows.values():
        errors = np.array(row["errors"])
        assert row["error"] == pytest.approx(errors.mean())
        own = errors - rows["plain classifier"]["errors"]
        assert row["difference_standard_error"] == pytest.approx(
            own.std(ddof=1) / np.sqrt(3)
        )
        assert row["name"] in captured.err
    assert rows["M2"]["error"] < rows["plain classifier"]["error"]
