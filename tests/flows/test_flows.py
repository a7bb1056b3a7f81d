"""What every flow keeps, with a context and without."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from vaejax import flows
from vaejax.flows.spline import rational_quadratic
from vaejax.networks.made import made

DIM, CONTEXT_DIM = 3, 2
FLOWS = {
    "affine_coupling": flows.affine_coupling(hidden=(6,)),
    "spline_coupling": flows.spline_coupling(hidden=(6,), num_bins=4, bound=4.0),
    "masked_autoregressive": flows.masked_autoregressive(hidden=(6,)),
    "inverse_autoregressive": flows.inverse_autoregressive(hidden=(6,)),
    "permutation": flows.permutation(seed=1),
    "linear": flows.linear(),
    "planar": flows.planar(),
    "radial": flows.radial(),
    "sylvester": flows.sylvester(num_ortho=2),
}
COUPLINGS = {"affine_coupling", "spline_coupling"}
FORWARD_ONLY = {"planar", "radial", "sylvester"}
CASES = [(name, context) for name in FLOWS for context in (False, True)]
RNG = np.random.default_rng(0)
Z = RNG.normal(size=(2, 4, DIM)).astype(np.float32)  # [K, B, D]
WEIGHTS = np.arange(1.0, 1 + DIM, dtype=np.float32)
CONTEXT = RNG.normal(size=(4, CONTEXT_DIM)).astype(np.float32)  # [B, C]


def test_the_table_has_every_flow_and_those_that_run_forward_only_declare_it():
    factories = {name for name in vars(flows) if name in FLOWS}
    modules = {"flow", "coupling", "autoregressive", "amortized", "elementwise"}
    public = {
        name
        for name, value in vars(flows).items()
        if callable(value) and name[0] in "abcdefghijklmnopqrstuvwxyz"
    }
    assert factories == set(FLOWS)
    assert public - modules - {"chain", "repeat", "invert"} == set(FLOWS)
    assert {name for name, flow in FLOWS.items() if flow.inverse is None} == (
        FORWARD_ONLY
    )


def stirred(flow, dim, context_dim=0, scale=0.5, seed=1):
    """Parameters of any size, without compiling what draws the first ones."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(
        lambda key: flow.init(key, dim, context_dim), jax.random.key(0)
    )
    return jax.tree.map(
        lambda leaf: scale * rng.normal(size=leaf.shape).astype(np.float32), shapes
    )


@functools.cache
def looker(name):
    """Everything about a flow in one program: `(params, z, context)`."""
    flow = FLOWS[name]

    @jax.jit
    def look(params, z, context):
        def column(direction):  # of the Jacobian of each example, for all at once
            one = jnp.broadcast_to(direction, z.shape)
            return jax.jvp(lambda z: flow.forward(params, z, context)[0], (z,), (one,))

        def total(params, z, context):
            out, log_det = flow.forward(params, z, context)
            sums = (WEIGHTS * out).sum() + log_det.sum()
            if flow.inverse is None:
                return sums, (out, log_det, None)
            there = jax.lax.stop_gradient(out)
            back, log_det_back = flow.inverse(params, there, context)
            sums = sums + (WEIGHTS[::-1] * back).sum() - 2 * log_det_back.sum()
            return sums, (out, log_det, (back, log_det_back))

        inputs = (0, 1) if context is None else (0, 1, 2)
        grads, values = jax.grad(total, inputs, has_aux=True)(params, z, context)
        _, jacobian = jax.vmap(column, out_axes=(None, -1))(jnp.eye(DIM))
        return *values, jacobian, grads

    return look


def looked(name, with_context, scale=0.7, stretch=1.0):
    context_dim = CONTEXT_DIM if with_context else 0
    params = stirred(FLOWS[name], DIM, context_dim, scale)
    return looker(name)(
        params, stretch * Z, stretch * CONTEXT if with_context else None
    )


@pytest.mark.parametrize(("name", "with_context"), CASES)
def test_inverse_log_determinant_and_gradients_are_those_of_the_map(name, with_context):
    out, log_det, back, jacobian, grads = looked(name, with_context)
    assert out.shape == Z.shape
    assert log_det.shape == Z.shape[:-1]
    _, expected = np.linalg.slogdet(np.asarray(jacobian, np.float64))
    np.testing.assert_allclose(log_det, expected, rtol=1e-5, atol=1e-5)
    if back is not None:
        np.testing.assert_allclose(back[0], Z, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(back[1], -log_det, rtol=1e-4, atol=1e-5)
    if name != "permutation":
        assert np.abs(out - Z).max() > 0.1
        assert np.abs(log_det).max() > 0.05
    for path, grad in jax.tree_util.tree_leaves_with_path(grads):
        where = jax.tree_util.keystr(path)
        unused = name == "permutation" and path[0].idx == 2
        assert (np.abs(grad).max() > 0) != unused, f"no gradient reaches {where}"


@pytest.mark.parametrize("name", FLOWS)
def test_all_is_finite_however_far_the_point_and_the_parameters_are(name):
    for scale, stretch in [(0.0, 0.0), (0.0, 1e6), (30.0, 1.0), (30.0, 1e4)]:
        everything = looked(name, True, scale, stretch)
        for path, leaf in jax.tree_util.tree_leaves_with_path(everything):
            where = f"{jax.tree_util.keystr(path)} at {scale}, {stretch}"
            assert np.isfinite(leaf).all(), where


@pytest.mark.parametrize("name", FLOWS)
def test_at_zeros_it_is_the_identity_and_at_first_close_to_it(name):
    flow = FLOWS[name]
    init = jax.jit(flow.init, static_argnums=(1, 2))
    params = init(jax.random.key(0), DIM, CONTEXT_DIM)
    zeros = jax.tree.map(jnp.zeros_like, params)
    out, log_det, *_ = looker(name)(zeros, Z, CONTEXT)
    first, *_ = looker(name)(params, Z, CONTEXT)
    if name == "permutation":
        np.testing.assert_array_equal(np.sort(out, axis=-1), np.sort(Z, axis=-1))
    elif name == "inverse_autoregressive":  # a gate that is open at first
        gate = 1 / (1 + np.exp(-2))
        np.testing.assert_allclose(out, gate * Z, rtol=1e-6)
        np.testing.assert_allclose(log_det, np.full((2, 4), DIM * np.log(gate)), 1e-5)
    else:
        np.testing.assert_allclose(out, Z, atol=2e-6)
        np.testing.assert_allclose(log_det, np.zeros((2, 4)), atol=2e-6)
        assert np.abs(first - Z).max() < 0.5


@pytest.mark.parametrize(
    ("name", "dim"),
    [
        (name, dim)
        for name in FLOWS
        for dim in (1, 2)
        if (name, dim) != ("permutation", 1) and (dim == 2 or name not in COUPLINGS)
    ],
)
def test_densities_integrate_to_1(name, dim):
    flow, num = FLOWS[name], {1: 2000, 2: 600}[dim]
    params = stirred(flow, dim, scale=0.2, seed=3)
    edge = np.linspace(-6, 6, num, dtype=np.float32)
    grid = np.stack(np.meshgrid(*[edge] * dim, indexing="ij"), axis=-1)

    @jax.jit
    def there_and_back(grid):
        out, log_det = flow.forward(params, grid, None)
        if flow.inverse is None:
            return out, grid, log_det
        z, log_det = flow.inverse(params, out, None)
        return out, z, -log_det

    # The density at the points where the map takes those of a grid.
    out, z, log_det = map(np.asarray, there_and_back(grid))
    height = np.exp(scipy.stats.norm.logpdf(z).sum(axis=-1) - log_det)
    if dim == 1:
        total = np.trapezoid(height, out[:, 0])
    else:  # over the cells, each with the area between its diagonals
        one, other = out[1:, 1:] - out[:-1, :-1], out[1:, :-1] - out[:-1, 1:]
        area = np.abs(one[..., 1] * other[..., 0] - one[..., 0] * other[..., 1]) / 2
        corners = height[1:, 1:] + height[1:, :-1] + height[:-1, 1:] + height[:-1, :-1]
        total = (area * corners / 4).sum()
    assert abs(total - 1) < 1e-3


@pytest.mark.parametrize("name", sorted(FORWARD_ONLY))
def test_maps_that_run_forward_only_are_invertible_whatever_their_parameters(name):
    flow = FLOWS[name]
    edge = jnp.concatenate([jnp.linspace(-30, 30, 1001), jnp.linspace(-0.3, 0.3, 1001)])

    @jax.jit
    def line_and_slopes(params):
        def out(z):
            return flow.forward(params, z[:, None], None)[0][:, 0]

        return jax.jvp(out, (edge,), (jnp.ones_like(edge),))

    with jax.enable_x64(True):
        for seed in range(20):
            params = stirred(flow, 1, scale=[1, 3, 10, 30][seed % 4], seed=seed)
            params = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), params)
            out, slope = line_and_slopes(params)
            for part in (out[:1001], out[1001:]):
                assert (np.diff(part) > 0).all()
            assert slope.min() > 0.9e-3
    signs, flattest = [], 0.0
    for seed in range(20):
        params = stirred(flow, DIM, CONTEXT_DIM, scale=3, seed=seed)
        _, log_det, _, jacobian, _ = looker(name)(params, Z, CONTEXT)
        sign, _ = np.linalg.slogdet(np.asarray(jacobian, np.float64))
        signs.append(sign)
        flattest = min(flattest, log_det.min())
    np.testing.assert_array_equal(signs, np.ones_like(signs))
    assert flattest < -1  # the constraint was needed


def test_repeat_is_a_chain_with_the_order_reversed_between():
    flow, reverse = FLOWS["linear"], flows.permutation()
    repeated = flows.repeat(flow, 3)
    chained = flows.chain([flow, reverse, flow, reverse, flow])
    params = stirred(repeated, DIM)
    own = {"flow_1": {}, "flow_3": {}} | {
        f"flow_{2 * i}": jax.tree.map(lambda leaf, i=i: leaf[i], params)
        for i in range(3)
    }

    @jax.jit
    def both(z):
        return [
            (repeated.forward(params, z, None), chained.forward(own, z, None)),
            (repeated.inverse(params, z, None), chained.inverse(own, z, None)),
        ]

    for got, expected in both(Z):
        np.testing.assert_allclose(got[0], expected[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(got[1], expected[1], rtol=1e-4, atol=1e-5)
    first = flows.repeat(flow, 2).init(jax.random.key(0), DIM, 0)["matrix"]
    assert not np.array_equal(first[0], first[1])


@pytest.mark.parametrize("num", [1, 2, 3])
def test_what_goes_in_first_comes_out_first_whatever_the_number_of_flows(num):
    same = flows.Flow(
        lambda key, dim, context_dim: {},
        lambda params, z, context: (z, z[..., 0]),
        lambda params, z, context: (z, z[..., 0]),
    )
    for through in flows.repeat(same, num)[1:]:
        out, log_det = through({}, Z, None)
        np.testing.assert_array_equal(out, Z)
        firsts = [Z[..., 0], Z[..., -1], Z[..., 0]][:num]
        np.testing.assert_allclose(log_det, sum(firsts), rtol=1e-5, atol=1e-6)


def test_a_chain_has_parameters_for_each_and_an_inverse_if_all_have_one():
    parts = [FLOWS["linear"], FLOWS["planar"], FLOWS["linear"]]
    assert flows.chain(parts).inverse is None
    params = flows.chain(parts).init(jax.random.key(0), DIM, 0)
    assert set(params) == {"flow_0", "flow_1", "flow_2"}
    assert not np.array_equal(params["flow_0"]["matrix"], params["flow_2"]["matrix"])


def test_invert_runs_the_same_map_the_other_way():
    flow = FLOWS["affine_coupling"]
    assert flows.invert(flow).forward is flow.inverse
    assert flows.invert(flows.invert(flow)) == flow
    with pytest.raises(ValueError, match="forward only"):
        flows.invert(FLOWS["planar"])


def test_a_coupling_of_one_dimension_is_an_error_that_names_alternatives():
    for name in COUPLINGS:
        with pytest.raises(ValueError, match=r"at least 2.*got 1.*linear"):
            FLOWS[name].init(jax.random.key(0), 1, 0)


def test_the_inverse_autoregressive_flow_is_the_gate_of_its_network():
    params = stirred(FLOWS["inverse_autoregressive"], DIM)
    numbers = made(2, hidden=(6,)).apply(params, Z, None)
    m, s = np.asarray(numbers[..., 0]), 2 + 5 * np.tanh(numbers[..., 1] / 5)
    sigma = 1 / (1 + np.exp(-s))
    out, log_det = FLOWS["inverse_autoregressive"].forward(params, Z, None)
    np.testing.assert_allclose(out, sigma * Z + (1 - sigma) * m, rtol=1e-5)
    np.testing.assert_allclose(log_det, np.log(sigma).sum(axis=-1), rtol=1e-5)


def test_the_masked_autoregressive_flow_is_the_affine_map_of_its_network():
    params = stirred(FLOWS["masked_autoregressive"], DIM)
    out, _ = FLOWS["masked_autoregressive"].forward(params, Z, None)
    numbers = made(2, hidden=(6,)).apply(params, out, None)
    mu, alpha = np.asarray(numbers[..., 0]), 3 * np.tanh(numbers[..., 1] / 3)
    np.testing.assert_allclose(out, mu + np.exp(alpha) * Z, rtol=1e-4, atol=1e-5)


def test_a_sylvester_flow_of_one_unit_is_planar():
    params = stirred(flows.sylvester(num_ortho=1), DIM)
    v, r, inner, b = (params["bias"][k] for k in ("v", "r", "inner", "b"))  # numpy
    top = np.sqrt(0.999)
    r, inner = top * np.tanh(r[0, 0]), top * np.tanh(inner[0, 0])
    reflection = np.eye(DIM) - 2 * np.outer(v, v) / (v @ v.T)
    q = reflection[0]
    # u with w . u-hat = r inner, where 1 + w . u-hat = 0.001 + softplus(w . u + a).
    offset = np.log(np.expm1(0.999))
    wu = np.log(np.expm1(0.999 + r * inner)) - offset
    planar = {"u": wu / inner * q, "w": inner * q, "b": b[0]}
    got = jax.jit(flows.sylvester(num_ortho=1).forward)(params, Z, None)
    expected = jax.jit(FLOWS["planar"].forward)({"bias": planar}, Z, None)
    np.testing.assert_allclose(got[0], expected[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(got[1], expected[1], rtol=1e-4, atol=1e-5)


def test_a_spline_passes_its_knots_with_their_slopes_and_ends_in_the_identity():
    rng, num_bins, bound = np.random.default_rng(0), 4, 3.0
    raw = rng.normal(size=3 * num_bins - 1).astype(np.float32)
    lengths = raw[: 2 * num_bins].reshape(2, num_bins).astype(float)
    shares = np.exp(lengths) / np.exp(lengths).sum(axis=-1, keepdims=True)
    shares = 0.1 / num_bins + 0.9 * shares
    ends = np.concatenate([np.zeros((2, 1)), np.cumsum(shares, axis=-1)], axis=-1)
    x, y = 2 * bound * ends - bound
    log_slopes = 3 * np.tanh(raw[2 * num_bins :] / 3)
    slopes = np.concatenate([[1], np.exp(log_slopes), [1]])
    spline = rational_quadratic(num_bins, bound)
    near = np.stack([x + 1e-5, x - 1e-5])  # both sides of every knot
    out, log_slope = jax.jit(spline.forward)(np.broadcast_to(raw, (2, 5, 11)), near)
    np.testing.assert_allclose(out, np.stack([y, y]), atol=1e-4)
    np.testing.assert_allclose(log_slope, np.log([slopes] * 2), atol=1e-3)
    # Gregory and Delbourgo's quadratic over a quadratic, in the middle of each bin.
    s, left, right = np.diff(y) / np.diff(x), slopes[:-1], slopes[1:]
    middle = y[:-1] + np.diff(y) * (s + left) / (2 * s + left + right)
    params = np.broadcast_to(raw, (num_bins, 11))
    centre = ((x[1:] + x[:-1]) / 2).astype(np.float32)
    out, _ = jax.jit(spline.forward)(params, centre)
    np.testing.assert_allclose(out, middle, rtol=1e-4)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (lambda: flows.affine_coupling(hidden=(4, 0)), r"at least 1.*\(4, 0\)"),
        (lambda: flows.masked_autoregressive(hidden=(-1,)), r"at least 1.*-1"),
        (
            lambda: flows.spline_coupling(num_bins=1),
            "num_bins.*at least 2, got 1",
        ),
        (lambda: flows.spline_coupling(bound=0.0), "positive and finite, got 0"),
        (lambda: flows.sylvester(num_ortho=0), "at least 1, got 0"),
        (lambda: flows.repeat(flows.planar(), 0), "at least 1, got 0"),
    ],
)
def test_hyperparameters_out_of_range_are_errors_that_say_so(factory, message):
    with pytest.raises(ValueError, match=message):
        factory()
