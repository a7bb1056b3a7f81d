"""Signal-to-noise ratios: how they are counted, and what theory says of them."""

import json

import numpy as np
import pytest

from experiments import benchmark, estimators
from experiments.errors import UserError


def test_a_ratio_is_the_mean_over_parameters_and_nothing_has_none():
    mean, deviation = np.array([-3.0, 1.0, 0.0]), np.array([1.0, 2.0, 0.0])
    assert estimators.signal_to_noise(mean, deviation) == pytest.approx(3.5 / 3)


def test_the_distance_is_relative():
    assert estimators.distance(np.array([3.0, 8.0]), np.array([3.0, 4.0])) == 0.8


@pytest.mark.slow
def test_particles_drown_pathwise_and_lift_dreg(monkeypatch, capsys):
    """Of the posterior; for the model's own parameters both rise (Tucker et al.)."""
    monkeypatch.setattr(estimators, "PARTICLES", (1, 64))
    few = {name: estimators.ESTIMATORS[name] for name in ("pathwise", "dreg")}
    monkeypatch.setattr(estimators, "ESTIMATORS", few)
    result = benchmark.benchmark("estimators", num_draws=400)
    assert "signal-to-noise ratio, posterior" in capsys.readouterr().out
    assert json.loads(json.dumps(result)) == result

    def growth(name, group):
        first, last = result["signal_to_noise"][name][group]
        return last / first

    assert growth("pathwise", "posterior") < 0.6
    assert growth("dreg", "posterior") > 2
    for name in ("pathwise", "dreg"):
        assert growth(name, "likelihood") > 1.5
        assert growth(name, "prior") > 1.5
    dreg = result["variance"]["dreg"]["posterior"]
    assert dreg[1] < result["variance"]["pathwise"]["posterior"][1] / 5


def test_a_flag_of_another_benchmark_is_an_error():
    with pytest.raises(UserError, match="--num-pairs is no flag of benchmark estim"):
        benchmark.benchmark("estimators", num_pairs=3)
    with pytest.raises(UserError, match="num_draws must be at least 2, got 1"):
        benchmark.benchmark("estimators", num_draws=1)
