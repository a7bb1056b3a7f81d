"""Every part of the library by its name, and parts from outside by their own."""

import functools
import inspect
import json
import re
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import cli, encode, models, parts, scoring, workdir
from experiments.errors import UserError
from vaejax import networks, objectives, posteriors, priors, schedules


def verb(model, *, seed: int = 0, likelihood: str = "none"):
    """Gives its part back.

    Args:
      model: what to train.
      seed: of everything.
      likelihood: a word like that of a part.
    """
    return model


def resolve(*argv):
    """The part that a command line chooses, in the form of settings."""
    return cli.run(verb, ["vae", *map(str, argv)])


def test_the_line_of_the_issue_resolves():
    vae = resolve(
        "--objective", "iwae", "--num-particles", 50, "--prior", "vamp",
        "--num-components", 500, "--posterior", "iaf",
        "--likelihood", "discretized_logistic", "--network", "conv",
    )  # fmt: skip
    assert vae["name"] == "vae"
    assert vae["objective"]["name"] == "iwae"
    assert vae["objective"]["num_particles"] == 50
    assert vae["prior"]["name"] == "vamp"
    assert vae["prior"]["num_components"] == 500
    assert vae["posterior"]["name"] == "iaf"
    assert vae["likelihood"]["name"] == "discretized_logistic"
    assert vae["network"]["name"] == "conv"


MIXTURES = ("--prior", "mixture", "--likelihood", "discretized_logistic_mixture")


def test_the_bare_form_reaches_every_chosen_part_that_has_it():
    vae = resolve(*MIXTURES, "--num-components", 3)
    assert vae["prior"]["num_components"] == 3
    assert vae["likelihood"]["num_components"] == 3


@pytest.mark.parametrize(
    "full", ["--prior.num-components", "--model.prior.num_components"]
)
def test_the_full_form_wins_wherever_it_stands(full):
    for flags in ((full, 7, "--num-components", 3), ("--num-components", 3, full, 7)):
        vae = resolve(*MIXTURES, *flags)
        assert vae["prior"]["num_components"] == 7
        assert vae["likelihood"]["num_components"] == 3


FLOWS = ("--posterior", "flow", "--prior", "flow")


def test_two_parts_share_a_flow_or_have_one_each():
    vae = resolve(*FLOWS, "--flow", "spline_coupling")
    assert vae["posterior"]["flow"]["name"] == "spline_coupling"
    assert vae["prior"]["flow"]["name"] == "spline_coupling"
    vae = resolve(*FLOWS, "--prior.flow", "linear", "--flow", "spline_coupling")
    assert vae["posterior"]["flow"]["name"] == "spline_coupling"
    assert vae["prior"]["flow"]["name"] == "linear"
    vae = resolve(*FLOWS, "--prior.flow", "linear")
    assert vae["posterior"]["flow"]["name"] == "affine_coupling"


def test_a_part_of_a_part_has_flags_too():
    flags = ("--prior.flow.hidden", 5, 6, "--flow.hidden", 4, "--network.hidden", 9)
    vae = resolve(*FLOWS, "--hidden", 3, *flags)
    assert vae["prior"]["flow"]["hidden"] == [5, 6]
    assert vae["posterior"]["flow"]["hidden"] == [4]
    assert vae["network"]["hidden"] == [9]


def test_a_flag_of_the_verb_is_no_part_though_it_has_the_name_of_one(capsys):
    def verb(*, likelihood: str = "bernoulli", seed: int = 0):
        """Has no parts.

        Args:
          likelihood: a word.
          seed: a number.
        """
        return likelihood, seed

    assert cli.run(verb, ["--likelihood=normal", "--seed", "3"]) == ("normal", 3)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            ("--num-components", 3),
            "--num-components belongs to prior autoregressive, prior mixture, prior "
            r"vamp, likelihood discretized_logistic_mixture.*; chosen here: model vae",
        ),
        (("--prior.num-components", 3), "belongs to prior autoregressive, prior mix"),
        (("--flow", "linear"), "--flow belongs to posterior flow, prior flow"),
        (("--prior", "flow", "--posterior.flow", "linear"), "posterior flow"),
        (("--prior", "vmap"), "Did you mean vamp"),
        (("--prior",), "--prior needs one of autoregressive, flow"),
        (("--laten-dim", 3), "Did you mean --latent-dim"),
        (("word", 3), "expected a flag"),
    ],
)
def test_what_reaches_nothing_is_an_error_that_helps(argv, message):
    with pytest.raises(UserError, match=message):
        resolve(*argv)


def test_what_a_module_exports_is_a_choice():
    for axis, (module, wiring) in parts.AXES.items():
        public = {
            name
            for name, value in inspect.getmembers(module, inspect.isfunction)
            if parts.positional(value) == wiring and not name.startswith("_")
        }
        assert set(parts.choices(axis)) == public - {"latent_variable_model"}


@pytest.mark.parametrize("axis", parts.AXES)
def test_every_flag_has_its_help_in_the_docstring(axis):
    for name, factory in parts.choices(axis).items():
        text = inspect.getdoc(factory)
        for flag in parts.keywords(factory):
            assert re.search(rf"^ +{flag}: ", text, re.M), f"{axis} {name}: {flag}"


def test_help_lists_the_choices_of_every_part_on_a_line(capsys):
    with pytest.raises(SystemExit):
        resolve("--posterior", "flow", "--help")
    lines = capsys.readouterr().out.splitlines()
    for axis in ("--prior", "--objective", "--schedule", "--posterior.flow"):
        line = next(line for line in lines if line.startswith(f"{axis}: "))
        names = set(parts.choices(axis.split(".")[-1].lstrip("-")))
        assert set(re.findall(r"\w+", line.split(": ")[1])) == names


# Schedules and what is filled in.


@pytest.mark.parametrize(
    ("objective", "argument"),
    [
        (functools.partial(objectives.elbo, beta=3.0), "beta"),
        (functools.partial(objectives.capacity, capacity=3.0), "capacity"),
    ],
)
def test_a_schedule_multiplies_the_capacity_or_else_the_beta(objective, argument):
    network = functools.partial(networks.mlp, hidden=(4,))
    ramp = functools.partial(schedules.linear, num_warmup_steps=10)
    recipe = models.vae((2,), objective=objective, network=network, schedule=ramp)
    x = jnp.ones((3, 2))

    @jax.jit
    def losses(step, factor):
        key, init_key = jax.random.split(jax.random.key(0))
        params = recipe.model.init(init_key, x)
        fixed = objective(**{argument: 3.0 * factor})
        return [
            one.loss(jax.random.clone(key), recipe.model, params, x)[0]
            for one in (recipe.objective(step), fixed)
        ]

    for step, factor in ((0, 0.0), (5, 0.5), (20, 1.0)):
        np.testing.assert_allclose(*losses(step, factor), rtol=1e-6)


def test_a_schedule_of_nothing_names_the_objectives_that_have_one():
    ramp = functools.partial(schedules.linear, num_warmup_steps=10)
    with pytest.raises(UserError, match=r"capacity or a beta: .*capacity.*elbo"):
        models.vae((2,), objective=objectives.iwae, schedule=ramp)


def test_the_size_of_the_data_is_filled_in_where_it_is_not_given():
    part = resolve("--objective", "beta_tc")
    assert part["objective"]["num_examples"] is None
    assert parts.fill(part, {"num_examples": 7})["objective"]["num_examples"] == 7
    part = resolve("--objective", "beta_tc", "--num-examples", 3)
    assert parts.fill(part, {"num_examples": 7})["objective"]["num_examples"] == 3


NEEDS = {  # what a part must be given, or given beside it
    "linear": ("--num-warmup-steps", 10),
    "cyclical": ("--num-cycle-steps", 10),
    "beta_binomial": ("--total-count", 16),
    "categorical": ("--num-categories", 17),
    "discretized_logistic": ("--num-levels", 17),
    "discretized_logistic_mixture": ("--num-levels", 17),
    "point_mass": ("--objective", "reconstruction"),
    "ms_ssim": ("--window", 5),
}
CHOICES = [
    (axis, name)
    for axis in ("posterior", "prior", "likelihood", "objective", "network", "schedule")
    for name in parts.choices(axis)
]


@pytest.mark.slow
@pytest.mark.parametrize(("axis", "name"), CHOICES)
def test_every_part_takes_a_step_of_shapes(axis, name, monkeypatch):
    def claim(path, settings):
        assert settings["model"][axis]["name"] == name
        raise InterruptedError

    monkeypatch.setattr(workdir, "claim", claim)
    argv = ["vae", f"--{axis}", name, "--workdir", "nowhere", *NEEDS.get(name, ())]
    with pytest.raises(InterruptedError):
        cli.run(cli.verb("train"), [*map(str, argv)])


# Parts from outside the library.

OUTSIDE = '''
from vaejax import Family, Objective, objectives
from vaejax.distributions import Normal
import jax.numpy as jnp

def shifted(latent_dim, *, shift: float = 1.0):
    """A normal elsewhere.

    Args:
      shift: where.
    """
    def make(params, encode):
        return Normal(jnp.full(latent_dim, shift), jnp.ones(latent_dim))
    return Family(lambda key, x: {}, make)

def twice(*, doubled: bool = True):
    """Twice the ELBO.

    Args:
      doubled: or once.
    """
    def loss(key, model, params, x):
        value, metrics = objectives.elbo().loss(key, model, params, x)
        return (1 + doubled) * value, metrics
    return Objective(loss)

def wired(one, two):
    """Has other wiring."""

def scalar():
    """Gives no loss for each example."""
    return Objective(lambda key, model, params, x: (jnp.mean(x), {}))

number = 3
'''


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """A module that only this test can import; its name."""
    name = f"outside_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(OUTSIDE)
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_a_part_from_outside_is_chosen_by_its_module_and_name(outside):
    flags = ("--prior", f"{outside}:shifted", "--shift", 2.5)
    vae = resolve(*flags, "--objective", f"{outside}:twice")
    assert vae["prior"] == {"name": f"{outside}:shifted", "shift": 2.5}
    assert vae["objective"] == {"name": f"{outside}:twice", "doubled": True}
    allow = parts.outsiders(vae)
    assert set(allow) == {f"{outside}:shifted", f"{outside}:twice"}
    recipe = parts.build("model", vae, allow)((2,))
    assert recipe.model.prior({"prior": {}}).mean().tolist() == [2.5] * 20


@pytest.mark.parametrize("flag", ["--no-doubled", "--objective.no-doubled"])
def test_a_flag_that_is_on_can_be_switched_off(outside, flag):
    vae = resolve("--objective", f"{outside}:twice", flag)
    assert vae["objective"] == {"name": f"{outside}:twice", "doubled": False}


@pytest.mark.parametrize(
    ("flag", "value"), [("--coupling", True), ("--no-coupling", False)]
)
def test_both_forms_that_the_help_shows_are_accepted(flag, value):
    vae = resolve("--likelihood", "discretized_logistic_mixture", flag)
    assert vae["likelihood"]["coupling"] == value


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module:prior", "there is no module no_such_module"),
        ("{}:nothing", "nothing"),
        ("{}:wired", r"positional arguments are \(latent_dim\)"),
        ("{}:number", "must be a function"),
        (":prior", "--prior :prior"),
    ],
)
def test_what_cannot_be_imported_is_an_error(outside, name, message):
    with pytest.raises(UserError, match=message):
        resolve("--prior", name.format(outside))


def test_a_stored_part_from_outside_is_imported_only_by_permission(outside):
    part = {"name": "vae", "prior": {"name": f"{outside}:shifted"}}
    with pytest.raises(UserError, match=f"repeat --prior {outside}:shifted"):
        parts.build("model", part)
    with pytest.raises(UserError, match="repeat --prior"):
        parts.build("model", part, [f"{outside}:twice"])
    assert outside not in __import__("sys").modules
    assert parts.build("model", part, [f"{outside}:shifted"])((2,)).model


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"network": {"name": "mlp", "hidden": [1] * 101}}, "hidden .* got 101 values"),
        ({"posterior": {"name": "iaf", "num_flows": 2**62}}, "num_flows .* most 100"),
        ({"prior": {"name": "x" * 9999}}, "got '?x{100}'"),
    ],
)
def test_settings_do_not_make_python_unroll_or_say_what_they_like(part, message):
    with pytest.raises(UserError, match=message) as caught:
        parts.build("model", {"name": "vae"} | part)
    assert len(str(caught.value)) < 1000


def test_what_outside_code_did_wrong_is_shown_in_full(outside, tmp_path, capsys):
    folder = tmp_path / "run"
    argv = ["train", "vae", "--objective", f"{outside}:scalar", "--workdir", folder]
    assert cli.main(list(map(str, argv))) == 2
    err = capsys.readouterr().err
    assert "error: these parts do not go together" in err
    assert "a loss for each example" in err
    assert "Traceback" in err
    assert not folder.exists()


# What a model sees, and what it is judged by.


def test_counts_are_seen_as_they_are_stored():
    image = np.array([[[3, 16]]], np.uint8)
    data = {"binarize": "none", "support": "counts", "scale": 16.0}
    run = {"data": data, "training": {"seed": 0}}
    assert scoring.ready(run, image, 16.0).tolist() == [[[3, 16]]]
    assert scoring.as_picture(run, image).tolist() == [[[3 / 16, 1]]]
    levels = {**run, "data": data | {"support": "levels"}}
    assert scoring.ready(levels, image, 16.0).tolist() == [[[3 / 16, 1]]]


def recipe_of(
    posterior=posteriors.diagonal_normal, prior=priors.standard_normal, **parts
):
    network = functools.partial(networks.mlp, hidden=(4,))
    return models.vae((2,), posterior=posterior, prior=prior, network=network, **parts)


@pytest.mark.parametrize(
    ("posterior", "objective", "asked"),
    [
        (posteriors.diagonal_normal, objectives.elbo, True),
        (posteriors.point_mass, objectives.reconstruction, False),
        (posteriors.point_mass, objectives.wae_mmd, True),
        (posteriors.point_mass, objectives.regularized, False),
    ],
)
def test_whether_a_prior_was_trained_is_read_off_the_loss(posterior, objective, asked):
    recipe = recipe_of(posterior=posterior, objective=objective)
    assert models.trains_prior(recipe, (2,)) is asked


@pytest.mark.parametrize(
    ("posterior", "prior", "exists"),
    [
        (posteriors.diagonal_normal, priors.vamp, True),
        (posteriors.planar, priors.standard_normal, True),
        (posteriors.planar, priors.vamp, False),
        (posteriors.point_mass, priors.standard_normal, False),
    ],
)
def test_where_a_density_is_missing_there_is_no_elbo(posterior, prior, exists):
    recipe = recipe_of(posterior, prior, objective=objectives.reconstruction)
    assert scoring.has_elbo(recipe.model, (2,)) is exists


def test_a_model_starts_from_the_images_it_is_given():
    model = resolve("--prior", "vamp", "--num-components", 5, "--hidden", 4)
    training = {
        "seed": 0,
        "num_steps": 1,
        "weight_decay": 0.0,
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "learning_rate_schedule": "constant",
        "clip_norm": None,
    }
    settings = {"model": model, "data": {"event_shape": [2]}, "training": training}
    x = jnp.array([[5.0, 5.0], [9.0, 9.0]])
    _, state = workdir.start(settings, x)
    start = state.params["prior"]["pseudo_inputs"]
    assert set(np.round(start).ravel().tolist()) == {5.0, 9.0}
    assert json.dumps(settings)


def test_codes_of_a_posterior_without_a_scale_of_its_own_have_one():
    def narrow(encoder, latent_dim):
        family = posteriors.full_normal(encoder, latent_dim)

        def make(params, x):
            return family.make(params, x).tempered(0.1)

        return family._replace(make=make)

    recipe = recipe_of(posterior=narrow, latent_dim=2)
    image = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    params = recipe.model.init(jax.random.key(0), image)
    settings = {"training": {"seed": 0}, "data": {"binarize": "none"}}
    run = workdir.Run(recipe.model, SimpleNamespace(params=params), settings)
    mean, scale = encode.codes_of(run, image, 1.0)
    posterior = recipe.model.encode(params, image)
    np.testing.assert_allclose(mean, posterior.loc, rtol=1e-5, atol=1e-6)
    exact = np.linalg.norm(posterior.scale_tril, axis=-1)
    np.testing.assert_allclose(scale, exact, rtol=0.35)  # 7 errors of 1/20
    np.testing.assert_allclose((scale / exact).mean(), 1, atol=0.03)  # 6 errors
