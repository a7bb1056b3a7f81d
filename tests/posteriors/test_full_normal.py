import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import toy
from vaejax import distributions, posteriors

kl_divergence = jax.jit(distributions.kl_divergence)

X = jax.random.normal(jax.random.key(1), (5, 3))


def made(family, bias):
    """The posterior whose affine encoder reads nothing but these biases."""
    params = jax.jit(family.init)(jax.random.key(0), X)
    head = {"kernel": jnp.zeros_like(params["head"]["kernel"]), "bias": jnp.array(bias)}
    return jax.jit(family.make)(params | {"head": head}, X)


def test_the_head_is_loc_then_the_log_variance_then_the_rows_below_the_diagonal():
    family = posteriors.full_normal(toy.identity(), 3)
    q = made(family, [1.0, 2.0, 3.0, 0.0, 0.2, -0.4, 0.5, 0.6, 0.7])
    assert q.loc.shape == (5, 3)
    np.testing.assert_allclose(q.loc[2], [1, 2, 3])
    expected = [[1, 0, 0], [0.5, np.exp(0.1), 0], [0.6, 0.7, np.exp(-0.2)]]
    np.testing.assert_allclose(q.scale_tril[2], expected, rtol=1e-3)
    one = posteriors.full_normal(toy.identity(), 1)
    assert made(one, [1.0, 0.0]).scale_tril.shape == (5, 1, 1)


def test_the_head_is_loc_then_the_log_variance_then_the_rows_of_the_factor():
    family = posteriors.low_rank_normal(toy.identity(), 2, rank=1)
    q = made(family, [1.0, 2.0, 0.0, 0.2, 0.5, 0.6])
    np.testing.assert_allclose(q.loc[2], [1, 2])
    np.testing.assert_allclose(q.scale[2], [1, np.exp(0.1)], rtol=1e-4)
    np.testing.assert_allclose(q.factor[2], [[0.5], [0.6]])


def test_without_correlations_both_are_the_diagonal_posterior():
    bias = [1.0, 2.0, -0.3, 0.4]
    p = made(posteriors.diagonal_normal(toy.identity(), 2), bias).replace(loc=0.0)
    diagonal = made(posteriors.diagonal_normal(toy.identity(), 2), bias)
    full = made(posteriors.full_normal(toy.identity(), 2), [*bias, 0.0])
    low = made(posteriors.low_rank_normal(toy.identity(), 2), [*bias, *[0.0] * 4])
    for q in (full, low):
        np.testing.assert_allclose(
            toy.log_prob(q, X[:, :2]), toy.log_prob(diagonal, X[:, :2]), rtol=1e-5
        )
        np.testing.assert_allclose(
            kl_divergence(q, p), kl_divergence(diagonal, p), rtol=1e-5
        )


def test_the_scales_are_bounded_however_sure_the_encoder_is():
    full = made(posteriors.full_normal(toy.identity(), 2), [0, 0, -1e6, 1e6, 5.0])
    low = made(
        posteriors.low_rank_normal(toy.identity(), 2, rank=1), [0, 0, -1e6, 1e6, 1, 1]
    )
    ends = np.exp([-7, 7])
    np.testing.assert_allclose(np.diagonal(full.scale_tril[0]), ends, rtol=1e-5)
    np.testing.assert_allclose(low.scale[0], ends, rtol=1e-5)


@pytest.mark.parametrize(
    ("factory", "flags", "match"),
    [
        (posteriors.full_normal, {}, "latent_dim must be at least 1, got 0"),
        (posteriors.low_rank_normal, {}, "latent_dim must be at least 1, got 0"),
    ],
)
def test_a_dimension_below_1_is_an_error(factory, flags, match):
    with pytest.raises(ValueError, match=match):
        factory(toy.identity(), 0, **flags)


@pytest.mark.parametrize("rank", [0, 3])
def test_a_rank_below_1_or_above_the_dimension_is_an_error(rank):
    with pytest.raises(ValueError, match=f"rank.*2, got {rank}"):
        posteriors.low_rank_normal(toy.identity(), 2, rank=rank)
