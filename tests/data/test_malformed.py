"""Every way in which a file may lie is a `DataError` that names file and field."""

import gzip
import io
import os
import struct
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vaejax.data import DataError, load

IMAGES = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)
LABELS = np.arange(5, dtype=np.uint8)


def idx(array: np.ndarray, code: int = 0x08) -> bytes:
    header = bytes([0, 0, code, array.ndim]) + struct.pack(
        f">{array.ndim}I", *array.shape
    )
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, allow_pickle=True)
    return stream.getvalue()


def npy_header(text: str, version: bytes = b"\1\0") -> bytes:
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text.encode()


def described(descr: str, shape: str, content: bytes = b"") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n"
    return npy_header(text) + content


def zipped(method: int = zipfile.ZIP_STORED, **members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return stream.getvalue()


def saved(**arrays: np.ndarray) -> bytes:
    return zipped(**{name: npy(array) for name, array in arrays.items()})


def duplicated() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("image.npy", npy(IMAGES))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("image.npy", npy(IMAGES))
    return stream.getvalue()


def damaged(content: bytes, at: int, value: int) -> bytes:
    return content[:at] + bytes([content[at] ^ value]) + content[at + 1 :]


def encrypted() -> bytes:
    content = bytearray(saved(image=IMAGES))
    content[6] |= 1  # flag in the local header
    content[content.index(b"PK\1\2") + 8] |= 1  # and in the directory
    return bytes(content)


def directory_size(size: int) -> bytes:
    """Return an archive whose directory gives the wrong size for the member."""
    content = bytearray(saved(image=IMAGES))
    start = content.index(b"PK\1\2")
    content[start + 24 : start + 28] = struct.pack("<I", size)
    return bytes(content)


NAN = np.where(np.arange(60).reshape(5, 12) == 7, np.nan, 0.5).astype(np.float32)
INF = np.where(np.arange(60).reshape(5, 12) == 7, np.inf, 0.5).astype(np.float32)
BOOL_OF_7 = np.full((5, 3), 7, np.uint8).view(bool)
RECORDS = np.zeros((5, 3), [("a", "u1"), ("b", "f4")])
OBJECTS = np.array([[{}], [1]], object)
HUGE = 100 * 10**9

# name: (content of the file, the field that the message names)
NPZ: dict[str, tuple[Callable[[], bytes], str]] = {
    "is empty": (lambda: b"", "file"),
    "is text": (lambda: b"hello, this is no archive", "zip archive"),
    "is an npy": (lambda: npy(IMAGES), "zip archive"),
    "is cut in half": (lambda: saved(image=IMAGES)[:150], "zip archive"),
    "has no member": (lambda: zipped(), "image"),
    "has other members": (lambda: saved(pictures=IMAGES), "image"),
    "has image and x": (lambda: saved(image=IMAGES, x=IMAGES), "image"),
    "has two images": (duplicated, "image"),
    "is encrypted": (encrypted, "image"),
    "is packed by bzip2": (
        lambda: zipped(zipfile.ZIP_BZIP2, image=npy(IMAGES)),
        "image",
    ),
    "is packed by LZMA": (
        lambda: zipped(zipfile.ZIP_LZMA, image=npy(IMAGES)),
        "image",
    ),
    "has a flipped bit": (lambda: damaged(saved(image=IMAGES), 170, 1), "image"),
    "has a directory that says less": (lambda: directory_size(170), "image"),
    "has a directory that says more": (lambda: directory_size(5000), "image"),
    "holds a pickle": (lambda: saved(image=OBJECTS), "image"),
    "holds a bare pickle": (lambda: zipped(image=b"\x80\4N."), "image"),
    "holds text": (lambda: saved(image=np.array([["a"], ["b"]])), "image"),
    "holds bytes": (lambda: saved(image=np.array([[b"a"], [b"b"]])), "image"),
    "holds records": (lambda: saved(image=RECORDS), "image"),
    "holds complex numbers": (lambda: saved(image=IMAGES.astype("c8")), "image"),
    "holds dates": (lambda: saved(image=IMAGES.astype("M8[s]")), "image"),
    "holds float64": (lambda: saved(image=IMAGES.astype("f8")), "image"),
    "holds float16": (lambda: saved(image=IMAGES.astype("f2")), "image"),
    "holds a NaN": (lambda: saved(image=NAN), "image"),
    "holds an infinity": (lambda: saved(x=INF), "x"),
    "holds negative counts": (lambda: saved(image=IMAGES.astype("i4") - 1), "image"),
    "holds counts beyond int32": (
        lambda: saved(image=IMAGES.astype("u8") + 2**31),
        "image",
    ),
    "holds bools of 7": (lambda: saved(image=BOOL_OF_7), "image"),
    "holds no image": (lambda: saved(image=IMAGES[:0]), "image"),
    "holds images of no pixel": (lambda: saved(image=IMAGES[:, :0]), "image"),
    "holds a scalar": (lambda: saved(image=np.float32(1)), "image"),
    "holds a vector": (lambda: saved(image=IMAGES[:, 0, 0]), "image"),
    "has an empty header": (lambda: zipped(image=b""), "image"),
    "has a header without end": (
        lambda: zipped(image=b"\x93NUMPY\1\0\xff\xff{"),
        "image",
    ),
    "has a header of version 9": (
        lambda: zipped(image=npy_header("{}", b"\x09\0")),
        "image",
    ),
    "has a header of code": (
        lambda: zipped(image=npy_header("__import__('os').abort()\n")),
        "image",
    ),
    "has a header of brackets": (
        lambda: zipped(image=npy_header("(" * 9000 + "\n")),
        "image",
    ),
    "has an unknown dtype": (lambda: zipped(image=described("'?!'", "(5,3)")), "image"),
    "has negative sizes": (
        lambda: zipped(image=described("'|u1'", "(-5,-3)", bytes(15))),
        "image",
    ),
    "has nine dimensions": (
        lambda: zipped(image=described("'|u1'", "(1,)*9", bytes(1))),
        "image",
    ),
    "has ten dimensions": (
        lambda: zipped(image=described("'|u1'", str((1,) * 10), bytes(1))),
        "image",
    ),
    "promises 100 GB": (
        lambda: zipped(image=described("'|u1'", f"({HUGE // 10},10)", bytes(100))),
        "image",
    ),
    "promises 2^80 bytes": (
        lambda: zipped(image=described("'|u1'", f"({2**40},{2**40})", bytes(100))),
        "image",
    ),
    "promises more than it has": (
        lambda: zipped(image=described("'|u1'", "(5,30)", bytes(149))),
        "image",
    ),
    "promises less than it has": (
        lambda: zipped(image=described("'|u1'", "(5,30)", bytes(151))),
        "image",
    ),
    "has a label too few": (lambda: saved(image=IMAGES, label=LABELS[1:]), "label"),
    "has labels of negative size": (
        lambda: zipped(
            image=npy(IMAGES), label=described("'|u1'", "(-5,-1)", bytes(5))
        ),
        "label",
    ),
    "has labels in a table": (
        lambda: saved(image=IMAGES, label=LABELS[:, None]),
        "label",
    ),
    "has real labels": (lambda: saved(image=IMAGES, label=LABELS / 2), "label"),
    "has labels of text": (
        lambda: saved(image=IMAGES, label=LABELS.astype(str)),
        "label",
    ),
    "has labels of objects": (
        lambda: saved(image=IMAGES, label=LABELS.astype(object)),
        "label",
    ),
    "has labels below -1": (
        lambda: saved(image=IMAGES, label=LABELS.astype(int) - 2),
        "label",
    ),
    "has labels beyond int32": (
        lambda: saved(image=IMAGES, label=LABELS.astype(int) + 2**31),
        "label",
    ),
}


@pytest.mark.parametrize("what", NPZ)
def test_an_npz_is_refused_that(what: str, tmp_path: Path) -> None:
    content, field = NPZ[what]
    path = tmp_path / "F.npz"
    path.write_bytes(content())
    with pytest.raises(DataError) as caught:
        load(f"npz:{path}")
    assert_useful(caught.value, path, field)


def sizes(*shape: int, code: int = 0x08) -> bytes:
    return bytes([0, 0, code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)


IMAGE_FILE, LABEL_FILE = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
# name: (content of the image file, of the label file or None, file and field named)
IDX: dict[str, tuple[bytes, bytes | None, str, str]] = {
    "is empty": (b"", None, IMAGE_FILE, "file"),
    "has three bytes": (b"\0\0\x08", None, IMAGE_FILE, "magic number"),
    "has another magic number": (b"\0\1\x08\3" * 9, None, IMAGE_FILE, "magic number"),
    "is a zip": (saved(image=IMAGES), None, IMAGE_FILE, "magic number"),
    "has an unknown type": (idx(IMAGES, 0x0A), None, IMAGE_FILE, "type"),
    "has no dimensions": (b"\0\0\x08\0" * 2, None, IMAGE_FILE, "number of dimensions"),
    "has 255 dimensions": (
        b"\0\0\x08\xff" * 300,
        None,
        IMAGE_FILE,
        "number of dimensions",
    ),
    "has half its sizes": (idx(IMAGES)[:10], None, IMAGE_FILE, "sizes"),
    "lacks a byte": (idx(IMAGES)[:-1], None, IMAGE_FILE, "values"),
    "has a byte more": (idx(IMAGES) + b"\0", None, IMAGE_FILE, "values"),
    "promises 100 GB": (sizes(HUGE // 100, 10, 10), None, IMAGE_FILE, "sizes"),
    "promises 2^96 bytes": (sizes(*[2**32 - 1] * 3), None, IMAGE_FILE, "sizes"),
    "holds no image": (sizes(0, 4, 3), None, IMAGE_FILE, "images"),
    "holds images of no pixel": (sizes(5, 0, 3), None, IMAGE_FILE, "images"),
    "holds labels for images": (idx(LABELS), None, IMAGE_FILE, "images"),
    "holds float64": (
        idx(IMAGES.astype("f8"), 0x0E),
        None,
        IMAGE_FILE,
        "images",
    ),
    "holds a NaN": (idx(NAN, 0x0D), None, IMAGE_FILE, "images"),
    "holds negative counts": (
        idx(IMAGES.astype("i2") - 9, 0x0B),
        None,
        IMAGE_FILE,
        "images",
    ),
    "is a gzip cut short": (
        gzip.compress(idx(IMAGES))[:-12],
        None,
        IMAGE_FILE,
        "gzip stream",
    ),
    "is a gzip of rubbish": (b"\x1f\x8b" + b"x" * 50, None, IMAGE_FILE, "gzip stream"),
    "is a gzip with a wrong checksum": (
        damaged(gzip.compress(idx(IMAGES)), -8, 1),
        None,
        IMAGE_FILE,
        "gzip stream",
    ),
    "is a gzip with rubbish behind": (
        gzip.compress(idx(IMAGES)) + b"rubbish",
        None,
        IMAGE_FILE,
        "gzip stream",
    ),
    "is a gzip that promises 100 GB": (
        gzip.compress(sizes(HUGE // 100, 10, 10)),
        None,
        IMAGE_FILE,
        "sizes",
    ),
    "is a gzip that ends early": (
        gzip.compress(idx(IMAGES)[:-1]),
        None,
        IMAGE_FILE,
        "values",
    ),
    "has a label too many": (
        idx(IMAGES),
        idx(np.arange(6, dtype=np.uint8)),
        LABEL_FILE,
        "labels",
    ),
    "has images for labels": (idx(IMAGES), idx(IMAGES), LABEL_FILE, "labels"),
    "has real labels": (
        idx(IMAGES),
        idx(LABELS.astype("f4"), 0x0D),
        LABEL_FILE,
        "labels",
    ),
}


@pytest.mark.parametrize("what", IDX)
def test_an_idx_folder_is_refused_that(what: str, tmp_path: Path) -> None:
    images, labels, name, field = IDX[what]
    (tmp_path / IMAGE_FILE).write_bytes(images)
    if labels is not None:
        (tmp_path / LABEL_FILE).write_bytes(labels)
    with pytest.raises(DataError) as caught:
        load(f"idx:{tmp_path}")
    assert_useful(caught.value, tmp_path / name, field)


def assert_useful(error: DataError, file: Path, field: str) -> None:
    message = str(error)
    assert error.field == field
    assert message.startswith(f"{file}: {field}: expected ")
    assert ", got " in message
    assert error.remedy
    assert message.endswith(error.remedy)
    assert "\n" not in message
    assert message.isprintable()
    assert len(message) < 600


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("promises 100 GB", "expected at most 4,294,967,296 bytes"),
        ("holds a pickle", "objects would need pickle"),
        ("holds records", "expected a plain numeric dtype"),
        ("has a header of version 9", r"got npy version \(9, 0\)"),
        ("holds float64", r"Save array.astype\(np.float32\)"),
    ],
)
def test_the_reason_is_the_right_one(what: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "F.npz"
    path.write_bytes(NPZ[what][0]())
    with pytest.raises(DataError, match=message):
        load(f"npz:{path}")


def test_the_table_has_at_least_45_rows() -> None:
    assert len(NPZ) + len(IDX) >= 45


@pytest.mark.parametrize("kind", ["idx", "npz"])
def test_what_is_no_regular_file_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / ("train-images-idx3" if kind == "idx" else "F.npz")
    spec = f"idx:{tmp_path}" if kind == "idx" else f"npz:{path}"
    with pytest.raises(DataError, match=r"expected a file"):
        load(spec)
    path.mkdir()
    with pytest.raises(DataError, match=r"regular file, got a folder"):
        load(spec)
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(DataError, match="neither file nor folder"):
        load(spec)
    path.unlink()
    path.symlink_to(path)
    with pytest.raises(DataError, match="expected a"):
        load(spec)


def test_a_path_that_no_system_takes_is_refused() -> None:
    for path in ("a\0b", "x" * 5000, "~nobody-of-this-name/F"):
        for kind in ("npz", "idx"):
            with pytest.raises(DataError):
                load(f"{kind}:{path}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "F.npz"
    path.write_bytes(saved(image=IMAGES))
    path.chmod(0)
    with pytest.raises(DataError, match="readable"):
        load(f"npz:{path}")


def test_a_bomb_costs_no_more_than_it_promises(tmp_path: Path) -> None:
    # 64 MiB of zeros behind a header that promises 60 bytes; then the same archive
    # with a directory that agrees with the header.
    zeros = bytes(64 * 2**20)
    bomb = gzip.compress(sizes(5, 4, 3) + zeros, 1)
    (tmp_path / "train-images").write_bytes(bomb)
    stored = described("'|u1'", "(5, 4, 3)")
    content = bytearray(zipped(zipfile.ZIP_DEFLATED, image=stored + zeros))
    (tmp_path / "bomb.npz").write_bytes(content)
    start = content.index(b"PK\1\2")
    content[start + 24 : start + 28] = struct.pack("<I", len(stored) + 60)
    (tmp_path / "agreeing.npz").write_bytes(content)
    del zeros, content
    for spec in (
        f"idx:{tmp_path}",
        f"npz:{tmp_path}/bomb.npz",
        f"npz:{tmp_path}/agreeing.npz",
    ):
        tracemalloc.start()
        with pytest.raises(DataError):
            load(spec)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 4 * 2**20, spec


def test_a_promise_of_4_gb_that_is_not_kept_allocates_little(tmp_path: Path) -> None:
    (tmp_path / "train-images").write_bytes(gzip.compress(sizes(4, 10**9) + bytes(9)))
    start = time.perf_counter()
    tracemalloc.start()
    with pytest.raises(DataError, match="4,000,000,000 bytes as the header promises"):
        load(f"idx:{tmp_path}")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * 2**20
    assert time.perf_counter() - start < 1


def test_hostile_text_in_a_message_is_made_printable(tmp_path: Path) -> None:
    path = tmp_path / "F.npz"
    path.write_bytes(zipped(**{"\x1b[31m red \n" * 40: npy(IMAGES)}))
    with pytest.raises(DataError) as caught:
        load(f"npz:{path}")
    assert_useful(caught.value, path, "image")
