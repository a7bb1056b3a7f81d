import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.spatial.distance
import scipy.stats

from tests import toy
from vaejax.mmd import mmd

KERNELS = ["rbf", "inverse_multiquadratic"]
SCALES = (0.2, 1.0, 5.0)
RNG = np.random.default_rng(0)
A, B = (RNG.normal(size=(9, 3)).astype(np.float32) for _ in range(2))


def kernel_by_scipy(name, x, y, scales=SCALES):
    squared = scipy.spatial.distance.cdist(x, y, "sqeuclidean")
    widths = [2 * x.shape[1] * scale for scale in scales]
    if name == "rbf":
        return sum(np.exp(-squared / width) for width in widths)
    return sum(width / (width + squared) for width in widths)


@pytest.mark.parametrize("name", KERNELS)
def test_both_statistics_are_sums_over_the_kernel_of_scipys_distances(name):
    k_ab = kernel_by_scipy(name, A, B).mean()
    within = [kernel_by_scipy(name, x, x) for x in (A, B)]
    diagonal = len(SCALES)  # the kernel of a point and itself
    v = sum(k.mean() for k in within) - 2 * k_ab
    u = sum((k.sum() - 9 * diagonal) / (9 * 8) for k in within) - 2 * k_ab
    np.testing.assert_allclose(mmd(name, SCALES, "v")(A, B), v, rtol=1e-5)
    np.testing.assert_allclose(mmd(name, SCALES, "u")(A, B), u, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", KERNELS)
def test_the_v_statistic_of_a_set_and_itself_is_0(name):
    assert mmd(name, SCALES, "v")(A, A) == 0
    shuffled = mmd(name, SCALES, "v")(A, A[::-1])
    np.testing.assert_allclose(shuffled, 0, atol=1e-6)
    assert mmd(name, SCALES, "v")(A, B) > 0.01


@pytest.mark.parametrize("name", KERNELS)
def test_the_u_statistic_has_mean_0_under_equal_laws(name):
    @jax.jit
    def statistics(x, y):
        return [jax.vmap(mmd(name, SCALES, s))(x, y) for s in ("u", "v")]

    x, y = np.random.default_rng(1).gamma(2.0, size=(2, 4000, 5, 2))
    u, v = statistics(x.astype(np.float32), y.astype(np.float32))
    toy.same_mean(u)
    assert v.mean() > 0.2
    assert v.min() > -1e-5


def test_it_is_unbiased_for_the_closed_form_of_two_normals():
    """E k(x, y) of normals is a normal density, wider by the kernel's variance."""
    num, dim, scale = 6, 2, 0.7
    loc, cov = np.array([0.8, -0.5]), np.array([[1.5, 0.4], [0.4, 0.6]])
    width = 2 * dim * scale

    def mean_kernel(shift, spread):  # k is a normal's density times its constant
        wide = scipy.stats.multivariate_normal(
            np.zeros(dim), spread + width / 2 * np.eye(dim)
        )
        return (np.pi * width) ** (dim / 2) * wide.pdf(shift)

    exact = mean_kernel(0 * loc, 2 * cov) + mean_kernel(0 * loc, 2 * np.eye(dim))
    exact -= 2 * mean_kernel(loc, cov + np.eye(dim))
    assert exact > 0.1
    rng = np.random.default_rng(2)
    x = rng.multivariate_normal(loc, cov, size=(20_000, num)).astype(np.float32)
    y = rng.normal(size=(20_000, num, dim)).astype(np.float32)
    toy.same_mean(jax.jit(jax.vmap(mmd("rbf", (scale,), "u")))(x, y), exact)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("statistic", ["u", "v"])
def test_equal_and_far_points_have_finite_values_and_gradients(name, statistic):
    x = jnp.concatenate([jnp.zeros((2, 3)), jnp.full((2, 3), 1e15)])
    both = jax.jit(jax.value_and_grad(mmd(name, (1.0,), statistic)))
    value, grad = both(x, jnp.zeros((4, 3)))
    assert np.isfinite(value)
    assert np.isfinite(grad).all()


def test_wrong_arguments_are_errors():
    with pytest.raises(ValueError, match=r"kernel must be rbf or.*got 'cauchy'"):
        mmd("cauchy", (1.0,), "u")
    with pytest.raises(ValueError, match=r"statistic must be 'u' or 'v', got 'w'"):
        mmd("rbf", (1.0,), "w")
    for scales in ((), (1.0, 0.0), (float("inf"),)):
        with pytest.raises(ValueError, match=r"scales must be positive.*got"):
            mmd("rbf", scales, "u")
    with pytest.raises(ValueError, match=r"2 examples.*statistic=\"v\""):
        mmd("rbf", (1.0,), "u")(A[:1], B[:1])
    with pytest.raises(AssertionError):
        mmd("rbf", (1.0,), "u")(A, B[:8])
