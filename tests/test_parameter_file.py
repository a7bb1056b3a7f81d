"""Parameters leave and come back bit by bit; a file that lies is refused by name."""

import json
import time
import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from vaejax.checkpoint import params_sha256
from vaejax.data import DataError
from vaejax.parameter_file import MAX_HEADER, export_params, import_params

PARAMS = {
    "posterior": {"network": [np.arange(6, dtype=np.float32).reshape(2, 3)]},
    "prior": {"loc": jnp.array([1.5, -0.0, jnp.nan], jnp.bfloat16)},
    "step": np.int32(7),
    "wide": np.array([1e-300, np.inf]),
    "none": np.zeros((0, 4), np.uint8),
    "mask": np.array([True, False]),
}


def parts(path):
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def assembled(header, data):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "params.safetensors"
    export_params(path, PARAMS, {"step": "12"})
    return path


def test_every_bit_comes_back_in_its_own_type(path):
    back = import_params(path, PARAMS)
    assert params_sha256(back) == params_sha256(PARAMS)
    assert back["prior"]["loc"].dtype == jnp.bfloat16
    assert back["wide"].dtype == np.float64


def test_the_library_of_the_format_reads_the_same_names_and_numbers(path):
    loaded = safetensors.numpy.load_file(path)
    assert set(loaded) == {
        "posterior/network/0", "prior/loc", "step", "wide", "none", "mask",
    }  # fmt: skip
    np.testing.assert_array_equal(
        loaded["posterior/network/0"], PARAMS["posterior"]["network"][0]
    )
    with safetensors.safe_open(path, "np") as file:
        assert file.metadata() == {"step": "12"}


def test_a_file_of_the_library_of_the_format_is_read(tmp_path):
    arrays = {"b": np.float32([1, 2]), "a": np.int32([[3]])}
    safetensors.numpy.save_file(arrays, tmp_path / "f")
    back = import_params(tmp_path / "f", arrays)
    assert params_sha256(back) == params_sha256(arrays)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p | {"wide": np.zeros(3)}, r"wide: expected F64 of shape \[3\]"),
        (lambda p: p | {"wide": np.zeros(2, np.float32)}, "wide: .*nothing is cast"),
        (lambda p: p | {"new": np.zeros(3)}, "new.*a leaf of this name"),
        (lambda p: {n: p[n] for n in p if n != "mask"}, "mask.*no such leaf"),
    ],
)
def test_other_parameters_are_refused_by_the_path_of_the_leaf(path, change, message):
    with pytest.raises(DataError, match=message):
        import_params(path, change(PARAMS))


def test_shapes_are_enough_to_read(path):
    like = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), PARAMS)
    assert params_sha256(import_params(path, like)) == params_sha256(PARAMS)


@pytest.mark.parametrize(
    "params",
    [
        {"a/b": np.zeros(1), "a": {"b": np.zeros(1)}},
        {"key": jax.random.key(0)},
        {"__metadata__": np.zeros(1)},
        {"complex": np.zeros(1, np.complex64)},
        {"no array": 1.0},
    ],
)
def test_what_the_format_cannot_hold_is_not_written(tmp_path, params):
    with pytest.raises(ValueError, match="name of its own"):
        export_params(tmp_path / "f", params)
    assert not list(tmp_path.iterdir())


def test_a_write_that_fails_leaves_the_old_file(path, monkeypatch):
    before = path.read_bytes()

    def full(_):
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        export_params(path, {"a": np.zeros(1)})
    assert [file.read_bytes() for file in path.parent.iterdir()] == [before]


def changed(header, **fields):
    return header | {"wide": header["wide"] | fields}


def hostile(header, data):
    """Files that lie, each with a name."""
    text = json.dumps(header)
    huge, begin = 2**62, header["wide"]["data_offsets"][0]
    yield "empty", b""
    yield "length alone", b"\1" * 8
    yield "huge header", (2**63).to_bytes(8, "little") + text.encode() + data
    yield "long header", assembled(b" " * (MAX_HEADER + 1), data)
    yield "no object", assembled(b"[1]", data)
    yield "space first", assembled(b" " + text.encode(), data)
    yield "not UTF-8", assembled(text.encode().replace(b"wide", b"wid\xff"), data)
    yield "deep", assembled(b'{"a":' * 150_000, data)
    yield "deep list", assembled(b'{"a":' + b"[" * 1_000_000, data)
    yield "NaN", assembled(text.replace(f"[{begin},", "[NaN,").encode(), data)
    yield "digits", assembled(b'{"a":' + b"9" * 1_000_000 + b"}", data)
    yield "twice", assembled(text[:-1].encode() + b"," + text[1:].encode(), data)
    yield "huge shape", assembled(changed(header, shape=[huge, huge]), data)
    yield "wrapping", assembled(changed(header, shape=[2**32, 2**32]), data)
    yield "negative", assembled(changed(header, shape=[-2]), data)
    yield "a float", assembled(changed(header, shape=[2.0]), data)
    yield "a bool", assembled(changed(header, data_offsets=[False, 16]), data)
    yield "backwards", assembled(changed(header, data_offsets=[16, 0]), data)
    yield "beyond", assembled(changed(header, data_offsets=[huge, huge + 16]), data)
    near = [begin - 1, begin + 15] if begin else [1, 17]
    yield "overlap", assembled(changed(header, data_offsets=near), data)
    yield "one offset", assembled(changed(header, data_offsets=[0]), data)
    yield "no offsets", assembled(changed(header, data_offsets=None), data)
    yield "a field more", assembled(changed(header, more=1), data)
    yield "no entry", assembled(header | {"wide": 3}, data)
    yield "type as list", assembled(changed(header, dtype=["F64"]), data)
    yield "metadata", assembled(header | {"__metadata__": {"a": 1}}, data)
    yield "no words", assembled(header | {"__metadata__": [1]}, data)
    yield "short data", assembled(header, data[:-1])
    yield "long data", assembled(header, data + b"\0")
    yield "bomb", assembled(b"{" + b'"a":[' + b"[]," * 300_000 + b"[]]}", data)


NAMES = [name for name, _ in hostile({n: {"data_offsets": [0]} for n in (
    "wide", "posterior/network/0")}, b"")]  # fmt: skip


def peak_of(path):
    """Loads the file; what it raised, the seconds, and the most memory in between."""
    tracemalloc.start()
    begin, error = time.perf_counter(), None
    try:
        back = import_params(path, PARAMS)
    except DataError as refusal:
        error = refusal
    seconds, (_, peak) = time.perf_counter() - begin, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 5
    assert peak < 64 * 2**20
    return error or back


@pytest.mark.parametrize("name", NAMES)
def test_a_file_made_to_harm_is_refused(path, name):
    path.write_bytes(dict(hostile(*parts(path)))[name])
    result = peak_of(path)
    assert isinstance(result, DataError)
    assert len(str(result)) < 1000


def mutated(rng, content):
    """A seeded mutation: bytes flipped, cut, doubled, moved, or words exchanged."""
    content, size = bytearray(content), len(content)
    kind, at, num = rng.integers(6), int(rng.integers(size)), int(rng.integers(1, 40))
    if kind == 0:
        content[at] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        del content[at:]
    elif kind == 2:
        del content[at : at + num]
    elif kind == 3:
        content[at:at] = content[at : at + num]
    elif kind == 4:
        content[at : at + num] = rng.bytes(num)
    else:
        tokens = [b"0", b"-1", b"1e9", b"NaN", b"{", b"[", b'"', b"null", b"\xff", b"9"]
        length = int.from_bytes(content[:8], "little")
        at = 8 + int(rng.integers(length))
        token = tokens[int(rng.integers(len(tokens)))]
        content[at : at + 1] = token
        if rng.random() < 0.8:  # and the length made to fit, so the grammar is reached
            content[:8] = (length + len(token) - 1).to_bytes(8, "little")
    return bytes(content)


def test_a_thousand_mutations_are_refused_or_hold_the_same_header(path):
    rng, content = np.random.default_rng(0), path.read_bytes()
    num_refused = 0
    for _ in range(1000):
        damaged = mutated(rng, content)
        path.write_bytes(damaged)
        result = peak_of(path)
        if isinstance(result, DataError):
            num_refused += 1
            continue
        _, data = parts(path)  # read: then every number is what the file now says
        leaves = safetensors.numpy.load_file(path)
        assert sum(leaf.nbytes for leaf in leaves.values()) == len(data)
        again = path.with_name("again")
        export_params(again, result)
        assert safetensors.numpy.load_file(again).keys() == leaves.keys()
        for name, leaf in safetensors.numpy.load_file(again).items():
            assert leaf.tobytes() == leaves[name].tobytes()
    assert num_refused > 600
