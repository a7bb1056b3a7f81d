"""Folders of pictures: what is read, and what is refused by the name of its file."""

import struct
import zlib

import jax
import numpy as np
import pytest

from vaejax.data import DataError, batches, from_folder

Image = pytest.importorskip("PIL.Image")
PICTURES = np.random.PCG64(0).random_raw(6 * 20).reshape(6, 4, 5).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    for i, picture in enumerate(PICTURES):
        own = tmp_path / "data" / ("cat" if i < 4 else "dog")
        own.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(own / f"{i}.png")
    return tmp_path / "data"


def test_the_pictures_come_in_the_order_of_their_paths_with_their_classes(folder):
    source = from_folder(str(folder), labelled=True)
    image, label = source.take(np.array([5, 0, 3]))
    np.testing.assert_array_equal(image, PICTURES[[5, 0, 3]])
    np.testing.assert_array_equal(label, [1, 0, 0])
    assert image.dtype == np.uint8
    assert source.num_examples == 6


def test_grain_reads_every_picture_of_an_epoch_once(folder):
    pytest.importorskip("grain")
    iterator = batches(from_folder(str(folder)), jax.random.key(0), 2)
    read = np.concatenate([next(iterator) for _ in range(3)])
    assert {x.tobytes() for x in read} == {x.tobytes() for x in PICTURES}


def bomb(path):
    def part(name, data):
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = part(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0))
    data = part(b"IDAT", zlib.compress(bytes(100)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + data + part(b"IEND", b""))


def medium(path):
    Image.new("L", (5000, 5000)).save(path)  # Pillow alone would read it


def broken(path):
    path.write_bytes(path.read_bytes()[:-30])


def text(path):
    path.write_text("no picture")


def other_size(path):
    Image.new("L", (3, 3)).save(path)


@pytest.mark.parametrize(
    ("spoil", "field"),
    [
        (bomb, ": (image|size): "),
        (medium, ": size: expected at most 16777216 pixels"),
        (broken, ": image: "),
        (text, ": image: "),
        (other_size, ": size: expected 4 x 5"),
    ],
)
def test_a_picture_that_cannot_be_used_is_named(folder, spoil, field):
    spoil(folder / "cat" / "2.png")
    source = from_folder(str(folder))
    with pytest.raises(DataError, match=r"cat.2\.png" + field):
        source.take(np.array([2]))


def test_a_link_that_leaves_the_folder_is_refused(folder, tmp_path):
    Image.fromarray(PICTURES[0]).save(tmp_path / "outside.png")
    (folder / "cat" / "link.png").symlink_to(tmp_path / "outside.png")
    with pytest.raises(DataError, match=r"link\.png"):
        from_folder(str(folder))


def test_a_folder_without_pictures_and_a_picture_without_class_are_refused(
    folder, tmp_path
):
    with pytest.raises(DataError, match="PNG or JPEG"):
        from_folder(str(tmp_path))
    Image.fromarray(PICTURES[0]).save(folder / "loose.png")
    with pytest.raises(DataError, match=r"loose\.png: label"):
        from_folder(str(folder), labelled=True)
