"""A folder of PNG or JPEG images of one size, decoded when their batch is read."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from vaejax.data.dataset import DataError
from vaejax.data.stream import Source
from vaejax.data.untrusted import home

ENDINGS = (".png", ".jpg", ".jpeg")
MAX_PIXELS = 2**24  # in one image
MODES = {"L": 1, "RGB": 3}  # channels; others are converted to RGB


def from_folder(folder: str, *, labelled: bool = False) -> Source:
    """Return the images of a folder and its class subfolders, sorted by path.

    Every batch is uint8 `[b, H, W]` if the first image is grey, else `[b, H, W, 3]`;
    with labels it is `(image, label)`. A class is a subfolder; its number is its place
    among their sorted names.

    Args:
      folder: holds the images, or one subfolder for each class.
      labelled: whether to give labels too, int32 `[b]`.

    Raises:
      DataError: if there are no images, or labels are asked for and an image lies in
        no class; when a batch is read, if a file is no such image, is too large, or
        has another size than the first. The message names the file.
      ImportError: if Pillow is not installed.
    """
    root = home(folder).resolve()
    remedy = "Give a folder of PNG or JPEG files, or of one subfolder for each class."
    if not root.is_dir():
        raise DataError(folder, "folder", "a folder", "none", remedy)
    found = [*root.glob("*"), *root.glob("*/*")]
    paths = sorted(path for path in found if path.suffix.lower() in ENDINGS)
    if not paths:
        raise DataError(folder, "folder", "PNG or JPEG files", "none", remedy)
    for path in paths:
        if not path.resolve().is_relative_to(root):
            got, remedy = "a link to another", "Copy the file in place of the link."
            raise DataError(path, "file", "a file of this folder", got, remedy)
    if labelled and (loose := [path for path in paths if path.parent == root]):
        remedy = "Move it to the subfolder of its class, or read without labels."
        raise DataError(loose[0], "label", "a file in a subfolder", "none", remedy)
    shape = decode(paths[0]).shape
    places = {name: i for i, name in enumerate(sorted({p.parent for p in paths}))}
    label = np.array([places[path.parent] for path in paths], np.int32)

    def take(rows: np.ndarray) -> Any:
        image = np.stack([decode(paths[row], shape) for row in rows])
        return (image, label[rows]) if labelled else image

    return Source(len(paths), take)


def decode(path: Path, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Return one image, uint8 `[H, W]` or `[H, W, 3]`; its size is checked first.

    Args:
      path: a PNG or JPEG file.
      shape: what the image must have; grey and colour are converted to it. Default:
        its own.

    Raises:
      DataError: if it cannot be decoded, or has too many pixels or another size.
    """
    try:
        from PIL import Image
    except ImportError as error:
        remedy = "Reading pictures needs Pillow: pip install 'vaejax[grain]'."
        raise ImportError(remedy) from error
    remedy = "Replace or remove the file."
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            file = Image.open(path, formats=("PNG", "JPEG"))  # reads the header only
        with file:
            width, height = file.size
            if width * height > MAX_PIXELS:
                got = f"{height} x {width}"
                raise DataError(
                    path, "size", f"at most {MAX_PIXELS} pixels", got, remedy
                )
            if shape is not None and (height, width) != shape[:2]:
                expected = f"{shape[0]} x {shape[1]}, as the first image"
                got, resize = f"{height} x {width}", "Resize or remove the file."
                raise DataError(path, "size", expected, got, resize)
            if shape is None:
                mode = file.mode if file.mode in MODES else "RGB"
            else:
                mode = "L" if len(shape) == 2 else "RGB"
            return np.asarray(file.convert(mode), np.uint8)
    except DataError:
        raise
    except Exception as error:  # Pillow raises all sorts for broken files
        got, expected = f"{type(error).__name__}: {error}", "a PNG or JPEG image"
        raise DataError(path, "image", expected, got, remedy) from error
