"""The yardsticks are right, and the benchmark runs without its peers."""

import functools
import json
import math

import jax
import jax.extend
import jax.numpy as jnp
import optax
import pytest

import vaejax
from experiments import benchmark as bench
from experiments.peers import rounds
from experiments.peers.worker import BATCH, HIDDEN, LATENT


def product_flops(jaxpr):
    """FLOPs of every matrix product in a jaxpr and the jaxprs it calls."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            out = equation.outvars[0].aval.shape
            total += 2 * math.prod(out) * math.prod(left[i] for i in contracted)
        total += sum(
            map(product_flops, jax.extend.core.jaxprs_in_params(equation.params))
        )
    return total


def test_the_flops_counted_by_hand_are_those_of_the_products_in_a_train_step():
    network = vaejax.networks.mlp(hidden=[HIDDEN])
    model = vaejax.latent_variable_model(
        vaejax.posteriors.diagonal_normal(network, LATENT),
        vaejax.priors.standard_normal(LATENT),
        vaejax.likelihoods.bernoulli(network, (784,)),
    )
    parts = model, vaejax.objectives.elbo(), optax.adam(1e-3)
    x = jnp.zeros((BATCH, 784), bool)
    state = jax.eval_shape(
        lambda: vaejax.init_state(jax.random.key(0), *parts, x),
    )
    step = jax.make_jaxpr(functools.partial(vaejax.train_step, *parts))(state, x)
    assert product_flops(step.jaxpr) == BATCH * bench.flops_per_image(784)
    assert bench.flops_per_image(784) == 3_280_000


def test_every_round_runs_everyone_once_and_begins_with_another():
    order = []
    runs = {name: functools.partial(order.append, name) for name in "abc"}
    bench.interleaved(runs, 3)
    assert "".join(order) == "abcbcacab"


@pytest.mark.slow
def test_it_runs_end_to_end_without_its_peers(capsys):
    result = bench.benchmark(num_images=2 * BATCH, num_pairs=1, peers=())
    assert "vaejax reaches" in capsys.readouterr().out
    assert json.loads(json.dumps(result)) == result
    assert result["num_images"] == 2 * BATCH
    assert result["ratio"]["vaejax"]["median"] == 1
    assert result["loss"]["vaejax"] < 784 * math.log(2) + 100
    assert result["loss_difference"] < 2  # other noise, other order, one more epoch
    for figure in ("first_step_seconds", "import_ratio", "product_gflops", "fraction"):
        assert 0 < result[figure]["min"] <= result[figure]["max"]
    assert set(result["met"]) == {
        "bare",
        "fraction",
        "loss_difference",
        "first_step_seconds",
        "import_ratio",
    }


@pytest.mark.slow
def test_the_likelihood_runs_end_to_end(capsys):
    result = bench.benchmark("likelihood", num_images=20, num_pairs=1)
    assert "of the rate of a product" in capsys.readouterr().out
    assert json.loads(json.dumps(result)) == result
    assert -784 * math.log(2) - 200 < result["log_likelihood"]["vaejax"] < -300
    assert 0 < result["fraction"]["min"] <= result["fraction"]["max"]


def test_a_peer_that_is_not_installed_is_null_and_the_table_says_what_to_install(
    monkeypatch, capsys
):
    for module in (bench, rounds):
        monkeypatch.setattr(module, "contender", pretender)
    monkeypatch.setattr(bench, "python_seconds", lambda code: 1.0)
    monkeypatch.setattr(bench.importlib.util, "find_spec", lambda name: None)
    result = bench.benchmark(num_images=BATCH, num_pairs=2)
    assert "not installed: pip install 'vaejax[peers]'" in capsys.readouterr().out
    assert result["ratio"]["torch"] is result["loss"]["numpyro"] is None
    assert result["met"]["torch"] is None


class pretender:  # noqa: N801, stands in for a function
    def __init__(self, program, images, seed):
        self.seconds = 1.0

    def __enter__(self):
        return lambda: bench.Answer(self.seconds, 100.0)

    def __exit__(self, *error):
        return None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_pairs": 0}, "num_pairs must be at least 1, got 0"),
        ({"peers": ("keras",)}, "peers are among torch, numpyro, got 'keras'"),
        ({"num_images": 5}, "needs 128 images, got 5"),
    ],
)
def test_a_mistake_is_told_before_anything_starts(arguments, message):
    with pytest.raises(ValueError, match=message):
        bench.benchmark(**arguments)


def test_a_flag_of_another_benchmark_is_refused():
    with pytest.raises(ValueError, match="--num-epochs is no flag of benchmark lik"):
        bench.benchmark("likelihood", num_epochs=2)
    with pytest.raises(ValueError, match="at least 1, got 0 and 5"):
        bench.benchmark("likelihood", num_images=0)
