"""Files that lie: good ones changed within their grammar, and bombs made by hand."""

import gzip
import io
import json
import random
import resource
import shutil
import struct
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import experiments
import vaejax
from experiments.errors import UserError
from experiments.faults import runs
from experiments.faults.row import Row, Verdict
from vaejax.data import DataError
from vaejax.parameter_file import export_params, import_params

PER_CASE = 50  # injections
SECONDS = 5.0  # that reading one file may take
MEMORY = 256 * 2**20  # that it may add to the largest the process has ever had
HUGE = 2**62
IMAGES = np.arange(5 * 8 * 8, dtype=np.uint8).reshape(5, 8, 8)
PARAMS = {"wide": np.arange(6.0).reshape(2, 3), "deep": {"b": np.ones(2, np.float32)}}


class Format(NamedTuple):
    """A kind of file that vaejax reads."""

    write: Callable[[Path, Path], Path]  # a good one in a folder, beside runs; its path
    read: Callable[[Path], object]
    mutate: Callable[[bytes, random.Random], bytes]
    bombs: Callable[[bytes], Iterator[bytes]]  # must be refused


def flipped(content: bytes, rng: random.Random) -> bytes:
    """Bits flipped; bytes cut, left out, doubled, overwritten; a length that lies."""
    new, at, num = bytearray(content), rng.randrange(len(content)), rng.randint(1, 40)
    kind = rng.randrange(6)
    if kind == 0:
        new[at] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del new[at:]
    elif kind == 2:
        del new[at : at + num]
    elif kind == 3:
        new[at:at] = new[at : at + num]
    elif kind == 4:
        new[at : at + num] = rng.randbytes(num)
    else:
        new[at : at + 4] = rng.choice([b"\xff\xff\xff\x7f", b"\0\0\0\0", b"\xff" * 4])
    return bytes(new)


STRANGE: tuple[Any, ...] = (
    None, True, -1, 0, 1e308, 2**31, HUGE, 10**400, "", "\0", "../../x", "os:system",
    "x" * 10_000, [], {}, [[[]]], [-1], [HUGE], [1] * 1000, {"name": "elbo"},
)  # fmt: skip


def reworded(content: bytes, rng: random.Random) -> bytes:
    """JSON with a value, a name or a token exchanged, or its bytes changed."""
    if rng.random() < 0.2:
        return flipped(content, rng)
    value = json.loads(content)
    places = [(value, name) for name in value]
    for inner, name in places:  # which grows: every place, however deep
        below = inner[name]
        if isinstance(below, dict):
            places += [(below, n) for n in below]
        elif isinstance(below, list):
            places += [(below, i) for i in range(len(below))]
    inner, name = rng.choice(places)
    kind = rng.randrange(3)
    if kind == 0 or isinstance(inner, list):
        inner[name] = rng.choice(STRANGE)
    elif kind == 1:
        inner[str(rng.choice(STRANGE))[:20]] = inner.pop(name)
    else:
        del inner[name]
    return json.dumps(value).encode()


def _framed(text: bytes, data: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text + data


def reframed(content: bytes, rng: random.Random) -> bytes:
    """A safetensors file whose header is reworded, its length made to fit."""
    if rng.random() < 0.5:
        return flipped(content, rng)
    end = 8 + int.from_bytes(content[:8], "little")
    return _framed(reworded(content[8:end], rng), content[end:])


def _npy(shape: tuple[int, ...], data: bytes, descr: str = "|u1") -> bytes:
    stream = io.BytesIO()
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + data


def _zipped(*members: tuple[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return stream.getvalue()


def _write_npz(folder: Path, _: Path) -> Path:
    path = folder / "F.npz"
    np.savez_compressed(path, image=IMAGES, label=np.arange(5))
    return path


def _npz_bombs(good: bytes) -> Iterator[bytes]:
    zeros = bytes(64 * 2**20)
    yield _zipped(("image.npy", _npy((5, 8, 8), zeros)))
    yield _zipped(("image.npy", _npy((HUGE, 1), b"")))
    yield _zipped(("image.npy", _npy((2**16, 2**16 - 1), b"")))  # just under the cap
    yield _zipped(("image.npy", _npy((5, 1), bytes(40), "|O")))  # needs pickle
    yield _zipped(("../image.npy", _npy((5, 1), bytes(5))))
    yield _zipped(*[(f"{i}.npy", b"") for i in range(2000)])
    header = b"{'shape': " + b"(" * 60_000
    yield _zipped(
        ("image.npy", b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header)
    )


def _idx(*sizes: int) -> bytes:
    return bytes([0, 0, 8, len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes)


def _write_idx(folder: Path, _: Path) -> Path:
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(_idx(5, 8, 8) + IMAGES.tobytes()))
    return path


def _regzipped(content: bytes, rng: random.Random) -> bytes:
    """Half of them whole gzip streams of files that lie."""
    if rng.random() < 0.5:
        return flipped(content, rng)
    return gzip.compress(flipped(gzip.decompress(content), rng))


def _idx_bombs(good: bytes) -> Iterator[bytes]:
    yield gzip.compress(_idx(5, 8, 8) + bytes(64 * 2**20), 1)
    yield gzip.compress(_idx(2**32 - 1, 2**32 - 1, 2**32 - 1))
    yield gzip.compress(_idx(2**16, 2**16 - 1, 1))
    yield gzip.compress(bytes([0, 0, 8, 255]) + b"\xff" * 1020)
    yield gzip.compress(gzip.compress(_idx(5, 8, 8) + IMAGES.tobytes()))


def _write_parameters(folder: Path, _: Path) -> Path:
    export_params(folder / "F.safetensors", PARAMS)
    return folder / "F.safetensors"


def _parameter_bombs(good: bytes) -> Iterator[bytes]:
    yield struct.pack("<Q", HUGE) + good[8:]
    yield _framed(b'{"a":' * 150_000, b"")
    yield _framed(b'{"a":' + b"9" * 1_000_000 + b"}", b"")
    huge = {"dtype": "F64", "shape": [HUGE, HUGE], "data_offsets": [0, 48]}
    yield _framed(json.dumps({"wide": huge}).encode(), bytes(48))
    yield _framed(b'{"a":[' + b"[]," * 300_000 + b"[]]}", b"")


def _run(folder: Path, beside: Path) -> Path:
    shutil.copytree(beside / runs.STRAIGHT, folder / "run")
    return folder / "run"


def _write_settings(folder: Path, beside: Path) -> Path:
    return _run(folder, beside) / "settings.json"


def _settings_bombs(good: bytes) -> Iterator[bytes]:
    yield b"[" * 900_000
    yield b'{"model":' + b"9" * 900_000 + b"}"
    yield good + b" " * 2_000_000
    for hidden in ([HUGE], [10**6] * 3, [1] * 100_000, [-1], "32"):
        settings = json.loads(good)
        settings["model"]["network"]["hidden"] = hidden
        yield json.dumps(settings).encode()
    for name, value in (
        ("posterior", {"name": "os:system"}),
        ("posterior", {"name": "planar", "num_flows": HUGE}),
        ("posterior", {"name": "iaf", "num_flows": HUGE}),
        ("prior", {"name": "vamp", "num_components": 10**12}),
        ("latent_dim", 10**12),
        ("objective", {"name": "iwae", "num_particles": 10**12}),
    ):
        settings = json.loads(good)
        settings["model"][name] = value
        yield json.dumps(settings).encode()
    settings = json.loads(good)
    settings["data"]["event_shape"] = [10**6, 10**6]
    yield json.dumps(settings).encode()


def _write_result(folder: Path, beside: Path) -> Path:
    return _run(folder, beside) / "result.json"


def _result_bombs(good: bytes) -> Iterator[bytes]:
    yield b"[" * 900_000
    yield b'{"step":' + b"9" * 900_000 + b"}"
    yield good + b" " * 2_000_000
    yield b'{"step": "../../x"}'


def _write_picture(folder: Path, _: Path) -> Path:
    from PIL import Image

    path = folder / "one.png"
    Image.fromarray(IMAGES[0]).save(path)
    return path


def _read_pictures(path: Path) -> object:
    return vaejax.data.from_folder(str(path.parent)).take(np.array([0]))


def _png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    head = (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in (head, *chunks, (b"IEND", b"")):
        content += struct.pack(">I", len(data)) + kind + data
        content += struct.pack(">I", zlib.crc32(kind + data))
    return content


def _picture_bombs(good: bytes) -> Iterator[bytes]:
    zeros = zlib.compress(bytes(64 * 2**20), 1)
    yield _png(60_000, 60_000, (b"IDAT", zeros))
    yield _png(2**31 - 1, 2**31 - 1)
    yield _png(4096, 4096)  # no data
    yield _png(8, 8, (b"iCCP", b"x\0\0" + zeros), (b"IDAT", b"no stream"))
    yield b"GIF89a" + bytes(100)


FORMATS = {
    "npz": Format(
        _write_npz, lambda path: vaejax.data.load(f"npz:{path}"), flipped, _npz_bombs
    ),
    "idx": Format(
        _write_idx,
        lambda path: vaejax.data.load(f"idx:{path.parent}"),
        _regzipped,
        _idx_bombs,
    ),
    "safetensors": Format(
        _write_parameters,
        lambda path: import_params(path, PARAMS),
        reframed,
        _parameter_bombs,
    ),
    "settings": Format(
        _write_settings,
        lambda path: experiments.load(path.parent),
        reworded,
        _settings_bombs,
    ),
    "result": Format(
        _write_result,
        lambda path: experiments.load(path.parent),
        reworded,
        _result_bombs,
    ),
    "pictures": Format(_write_picture, _read_pictures, flipped, _picture_bombs),
}


def lies(folder: Path, number: int, rng: random.Random) -> list[Verdict]:
    """Files of one format, each read as a user would."""
    name = list(FORMATS)[number % len(FORMATS)]
    form = FORMATS[name]
    path = form.write(folder, folder.parents[1] / "runs")
    good = path.read_bytes()
    form.read(path)  # what is imported and compiled once is not the file's doing
    bombs = list(form.bombs(good)) if number < len(FORMATS) else []
    mutations = (form.mutate(good, rng) for _ in range(PER_CASE - len(bombs)))
    verdicts = [_one(name, path, bomb, True) for bomb in bombs]
    return verdicts + [_one(name, path, content, False) for content in mutations]


def _one(name: str, path: Path, content: bytes, must_fail: bool) -> Verdict:
    """Whether a file is refused by a typed error, in little time and memory.

    One that is still a good file, of other numbers, may be read.
    """
    path.write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began, wrong, refused = time.perf_counter(), "", False
    try:
        FORMATS[name].read(path)
    except (DataError, UserError) as error:
        refused = True
        if len(str(error)) > 3000:
            wrong = f"a message of {len(str(error))} characters"
    except Exception as error:
        wrong = f"{type(error).__name__}: {error}"
    seconds = time.perf_counter() - began
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    if seconds > SECONDS or grown > MEMORY:
        wrong += f" {seconds:.1f} s, {grown / 2**20:.0f} MiB"
    if must_fail and not refused:
        wrong += " read"
    note = f"{name}{wrong and ': '}{wrong[:300]} {content[:300]!r}" if wrong else ""
    return Verdict(
        detected=True if refused else (False if wrong else None),
        survived=not wrong,
        note=note,
    )


ROWS = (
    Row(
        "malformed data, settings, parameters, pictures, archives",
        "a typed error each, within 5 s and 256 MiB",
        num_cases=20, num_quick=6, case=lies, prepare=runs.straight, seconds=300,
    ),
)  # fmt: skip
