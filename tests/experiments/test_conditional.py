import json

import numpy as np
import pytest
import scipy.spatial.distance

from experiments import cli
from experiments.conditional import diversity, spread

RNG = np.random.default_rng(0)
LABEL = np.arange(200) % 4
FEATURES = RNG.normal(size=(200, 3)) + 10 * LABEL[:, None]


def test_the_spread_is_the_mean_distance_of_two_of_one_class():
    own = [scipy.spatial.distance.pdist(FEATURES[c == LABEL]).mean() for c in range(4)]
    np.testing.assert_allclose(spread(FEATURES, LABEL), np.mean(own), rtol=1e-9)
    alone = np.array([0, 0, 1])  # one of class 1 is at no distance
    assert spread(np.array([[0.0], [3.0], [9.0]]), alone) == 3


def test_diversity_is_a_ratio_to_that_of_real_ones_with_its_error():
    same = diversity(FEATURES, FEATURES, LABEL)
    assert same == (1, 0)
    twice = diversity(2 * FEATURES + 1, FEATURES, LABEL)
    np.testing.assert_allclose(twice, (2, 0), atol=1e-6)
    means = np.stack([FEATURES[c == LABEL].mean(axis=0) for c in range(4)])
    collapsed = diversity(means[LABEL], FEATURES, LABEL)
    assert collapsed.value == pytest.approx(0, abs=1e-6)
    few = slice(4, 10)  # 1 or 2 of a class
    assert np.isnan(diversity(FEATURES[few], FEATURES[few], LABEL[few]).standard_error)


def test_its_error_is_its_spread_over_many_sets():
    rng = np.random.default_rng(1)
    label = np.arange(400) % 2
    draws = [
        diversity(rng.normal(size=(400, 2)), rng.normal(size=(400, 2)), label)
        for _ in range(60)
    ]
    values, errors = np.array(draws).T
    assert abs(values.mean() - 1) < 5 * values.std() / np.sqrt(60)
    # A standard deviation from 60 sets is known to 9 %, and groups of 20 have more.
    assert 0.7 < np.sqrt((errors**2).mean()) / values.std() < 1.6


@pytest.mark.slow
def test_it_draws_squares_where_they_are_asked_for(tmp_path, capsys):
    """Bright quarters of 6 x 6 images: the easiest classes there are."""
    rng, label = np.random.default_rng(0), np.arange(600) % 4
    image = np.zeros((600, 6, 6), np.float32)
    for i, place in enumerate(label):
        row, column = 3 * (place // 2), 3 * (place % 2)
        image[i, row : row + 3, column : column + 3] = rng.random((3, 3)) < 0.9
    np.savez(tmp_path / "F.npz", image=image, label=label)
    argv = f"conditional --dataset npz:{tmp_path}/F.npz --workdir {tmp_path}/run "
    argv += "--hidden 32 --latent-dim 2 --num-steps 1500 --batch-size 50 --beta 1 "
    argv += "--learning-rate 5e-3"
    assert cli.main(argv.split()) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["num_images"] == 60
    assert result["accuracy_real"] > 0.95
    assert result["accuracy_drawn"] > 0.9
    assert len(result["accuracy_drawn_by_class"]) == 4
    assert (tmp_path / "run/conditional.png").stat().st_size > 100
    saved = json.loads((tmp_path / "run/conditional.json").read_text())
    assert saved["accuracy_drawn"] == result["accuracy_drawn"]


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ("--batch-size 100", "--batch-size must be at most 18"),
        ("--num-steps 0", "at least 1"),
        ("--seed -1", "--seed"),
    ],
)
def test_settings_that_cannot_be_met_are_errors(flags, named, tmp_path, capsys):
    label = np.arange(20) % 2
    np.savez(tmp_path / "F.npz", image=np.zeros((20, 4, 4), bool), label=label)
    argv = f"conditional --dataset npz:{tmp_path}/F.npz --workdir {tmp_path}/run "
    assert cli.main((argv + flags).split()) == 2
    assert named in capsys.readouterr().err


def test_images_without_labels_are_an_error(tmp_path, capsys):
    np.savez(tmp_path / "F.npz", image=np.zeros((20, 4, 4), bool))
    argv = f"conditional --dataset npz:{tmp_path}/F.npz --workdir {tmp_path}/run"
    assert cli.main(argv.split()) == 2
    assert "every image needs a label" in capsys.readouterr().err
