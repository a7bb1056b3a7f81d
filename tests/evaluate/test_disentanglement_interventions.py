"""The scores that draw examples of which one factor is held."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from vaejax.data import factor_values, render, sprites
from vaejax.evaluate import beta_vae_score, factor_vae_score
from vaejax.evaluate.disentanglement.interventions import codes_with_held

SIZES = (3, 1, 4, 5)  # the second does not vary
SCORES = {
    "beta": functools.partial(beta_vae_score, num_pairs=32, num_train=150),
    "factor": functools.partial(
        factor_vae_score, num_each=32, num_train=150, num_variance=2000
    ),
}
each_score = pytest.mark.parametrize("name", SCORES)


def itself(key, indices):
    """Examples that are their factors."""
    return indices


def columns(*which, scale=1.0):
    return lambda x: x[:, which] * scale


def rotated(x):
    turn = jnp.array([[1, 1], [1, -1]]) / math.sqrt(2)
    return (x - (jnp.array(SIZES)[: x.shape[1]] - 1) / 2) @ turn


def noise(key, indices):
    return jax.random.normal(key, indices.shape)


def score(name, encode, draw=itself, sizes=SIZES, seed=0, **more):
    more = {"num_test": 300} | more
    return SCORES[name](jax.random.key(seed), encode, draw, sizes, **more)


@each_score
@pytest.mark.parametrize(
    "which",
    [(0, 2, 3), (3, 0, 2), (0, 0, 2, 2, 3, 3), (0, 1, 2, 3)],
    ids=["perfect", "permuted", "twice", "with a constant"],
)
def test_codes_that_are_the_factors_score_1_exactly(name, which):
    got = score(name, columns(*which, scale=-2.0))
    assert got.value == 1
    assert got.error == 0
    assert (got.parts == [1, 1, 1]).all()


@each_score
def test_constant_codes_and_random_ones_score_by_chance(name):
    for encode, draw in ((lambda x: x[:, :2] * 0.0, itself), (lambda x: x, noise)):
        got = score(name, encode, draw, num_test=2000)
        assert abs(got.value - 1 / 3) < 4 * math.sqrt(2 / 9 / 2000)
        assert got.error == pytest.approx(math.sqrt(2 / 9 / 2000), rel=0.1)
    np.testing.assert_allclose(got.parts.sum(), 1, atol=0.1)


def test_halfway_between_two_factors_the_stillest_code_is_by_chance():
    got = score("factor", rotated, sizes=(4, 4), num_test=2000)
    assert abs(got.value - 0.5) < 4 * math.sqrt(1 / 4 / 2000)


def test_a_factor_that_no_code_knows_is_the_one_that_is_missed():
    """Two codes stand for two of three factors: each of them is always right."""
    got = score("factor", columns(0, 2), num_test=2000)
    share = (2 * 1 + 0) / 3
    assert abs(got.value - share) < 4 * math.sqrt(share * (1 - share) / 2000)
    assert got.parts.tolist() == [1, 1, 0]


def test_a_dead_code_gets_no_vote():
    """It hardly varies at all, but over the examples of a vote it varies less."""

    def encode(x):
        faint = 0.01 * (x[:, :1] == 0) * (x[:, 2:3] == 0) * (x[:, 3:] == 0)
        return jnp.concatenate([faint, x[:, (0, 2, 3)]], axis=1)

    assert score("factor", encode).value == 1
    assert score("factor", encode, threshold=0.0).value < 0.8


# ---------------------------------------------------------- second implementations


def factors_held(random, held, num):
    rows = random.integers(0, SIZES, (num, 4))
    rows[:, held] = rows[0, held]
    return rows


MIX = np.random.default_rng(5).normal(size=(4, 3)) * [1, 3, 9]


def plain_factor(random, num_train, num_test, L=32):
    scale = (random.integers(0, SIZES, (20_000, 4)) @ MIX).std(axis=0)
    votes, right = np.zeros((3, 4)), 0
    for i in range(num_train + num_test):
        held = random.choice([0, 2, 3])
        z = factors_held(random, held, L) @ MIX
        d = int(np.argmin(z.std(axis=0) / scale))
        if i < num_train:
            votes[d, held] += 1
        else:
            right += np.argmax(votes[d]) == held
    return right / num_test


def plain_beta(random, num_train, num_test, L=32):
    x, y = [], []
    for _ in range(num_train + num_test):
        held = random.choice([0, 2, 3])
        gaps = []
        for _ in range(L):
            one, two = factors_held(random, held, 2) @ MIX
            gaps.append(abs(one - two))
        x.append(np.mean(gaps, axis=0))
        y.append(held)
    scaler = StandardScaler().fit(x[:num_train])
    fit = LogisticRegression(C=1.0).fit(scaler.transform(x[:num_train]), y[:num_train])
    return fit.score(scaler.transform(x[num_train:]), y[num_train:])


@each_score
def test_mixed_codes_score_as_in_a_second_implementation(name):
    """Over independent fits of both, within 4 standard errors."""
    second = {"beta": plain_beta, "factor": plain_factor}[name]
    num = {"beta": 6, "factor": 12}[name]
    ours = [
        float(score(name, lambda x: x @ MIX, seed=i, num_test=200).value)
        for i in range(num)
    ]
    random = np.random.default_rng(0)
    others = [second(random, 150, 200) for _ in range(num)]
    error = math.hypot(scipy.stats.sem(ours), scipy.stats.sem(others))
    print(f"ours {np.mean(ours):.3f}, the second {np.mean(others):.3f}, +- {error:.3f}")
    assert 0.4 < np.mean(ours) < 0.99
    assert error < 0.05
    assert abs(np.mean(ours) - np.mean(others)) < 4 * error


# ------------------------------------------------------------------------ the draws


@pytest.mark.parametrize("images", [100, 10_000], ids=["batches", "one batch"])
def test_a_row_shares_the_factor_that_is_held_and_no_other(images):
    held = np.array([0, 3, -1, 2] * 50)
    codes = codes_with_held(
        jax.random.key(0), lambda x: x, itself, SIZES, held, 16, images
    )
    assert codes.shape == (200, 16, 4)
    same = (codes == codes[:, :1]).all(axis=1)  # [R, F]
    expected = (held[:, None] == np.arange(4)) | (np.array(SIZES) == 1)
    np.testing.assert_array_equal(same, expected)
    values = codes[held == 3, 0, 3]  # each row has a value of its own
    assert scipy.stats.chisquare(np.bincount(values.astype(int))).pvalue > 1e-6
    assert len({row.tobytes() for row in codes}) == 200  # batches are not repeated


def test_the_number_of_images_at_once_is_as_asked_and_the_programs_are_of_one_shape():
    shapes = []

    def encode(x):
        shapes.append(x.shape)
        return x

    score("factor", encode, num_train=20, num_test=13, images=128, num_variance=300)
    assert set(shapes) == {(128, 4)}
    shapes.clear()
    score("beta", encode, num_train=20, num_test=13, images=100)
    assert set(shapes) == {(100, 4)}


def test_sprites_are_told_apart_by_their_moments():
    """Area, place and orientation from pixels alone: codes of a picture, and shape."""
    factors = sprites(
        shapes=("corner",), num_scales=4, num_orientations=1, num_x=8, num_y=8
    )

    def draw(key, indices):
        return render(factor_values(factors, indices), 32)

    @jax.jit
    def encode(x):
        area = x.sum(axis=(1, 2))
        place = jnp.arange(32) / 32
        right = (x.sum(axis=1) * place).sum(axis=1) / area
        down = (x.sum(axis=2) * place).sum(axis=1) / area
        return jnp.stack([right, down, area / 100], axis=1)

    got = score(
        "factor", encode, draw, factors.sizes, threshold=0.0, num_train=60, num_test=60
    )
    assert got.value > 0.95


# ----------------------------------------------------------------------------- errors


@each_score
@pytest.mark.parametrize(
    ("encode", "sizes", "more", "message"),
    [
        (lambda x: x, (3, 1, 1), {}, r"two factors must vary, got sizes \(3, 1, 1\)"),
        (lambda x: x[:, 0], SIZES, {}, r"finite codes \[B, D\]"),
        (lambda x: x / 0, SIZES, {}, "not all finite"),
        (lambda x: x, SIZES, {"num_test": 0}, "num_test must be at least 1, got 0"),
    ],
    ids=["sizes", "rank", "nan", "count"],
)
def test_what_cannot_be_scored_is_an_error(name, encode, sizes, more, message):
    with pytest.raises(ValueError, match=message):
        score(name, encode, sizes=sizes, **more)


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("beta", {"penalty": 0.0}, "penalty must be positive"),
        ("beta", {"num_pairs": 0}, "num_pairs must be at least 1, got 0"),
        ("factor", {"num_each": 1}, "num_each and num_variance must be at least 2"),
        ("factor", {"threshold": -1}, "threshold at least 0"),
    ],
    ids=str,
)
def test_a_wrong_setting_is_an_error(name, more, message):
    with pytest.raises(ValueError, match=message):
        score(name, lambda x: x, **more)
