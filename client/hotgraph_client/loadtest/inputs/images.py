"""A folder of images as inputs: as they are for a model that decodes, as pixels for one that does not.

An input of text (BYTES) takes each file's bytes. Of a numeric one of rank 4 (rank 3: without rows) the
dimension of 1, 3 or 4 at its end, or after the rows, is the channels; images are turned into its colours,
resized to its height and width (their own, where these are free), and scaled where it takes floats.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hotgraph_protos.tensors import BYTES, Array

from ...descriptions import TensorMetadata
from ..dialects.datatypes import dtype_of
from ..dialects.description import is_free
from .items import InputError
from .options import Scale

SUFFIXES = (".jpg", ".jpeg", ".png")

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_ENDS: dict[Scale, tuple[float, float]] = {"0..1": (0.0, 1.0), "-1..1": (-1.0, 1.0), "0..255": (0.0, 255.0)}

# As many as a camera has; a file of a few bytes may say that it has any number of them.
_MAX_PIXELS = 2**28


class Layout(NamedTuple):
    """How pixels lie in an input: `height` and `width` of None are the image's own."""

    height: int | None
    width: int | None
    channels: int
    channels_first: bool
    has_rows: bool


def image_files(path: Path) -> list[Path]:
    """An image itself, or the images of a folder by name, those of folders in it included."""
    if not path.is_dir():
        return [path] if path.suffix.lower() in SUFFIXES else []
    return sorted(each for each in path.rglob("*") if each.suffix.lower() in SUFFIXES and each.is_file())


def read_images(
    files: Sequence[Path], tensor: TensorMetadata, scale: Scale, given: Sequence[int] | None
) -> Iterator[Array]:
    """Each image as an array of one row.

    Args:
        given: --shape of the input.

    Raises:
        InputError: the input takes no images, or one cannot be read.
    """
    layout = None if tensor.datatype == BYTES else layout_of(tensor, given)
    for path in files:
        try:
            yield _as_bytes(path, tensor) if layout is None else _as_pixels(path, tensor, layout, scale)
        except OSError as error:
            # Pillow's for what is no image has no number, and a text
            raise InputError(f"{path}: {error.strerror or error}") from None


def layout_of(tensor: TensorMetadata, given: Sequence[int] | None) -> Layout:
    """How an input takes images.

    Raises:
        InputError: it takes none.
    """
    sizes = list(tensor.shape)
    has_rows = len(sizes) == 4
    inner = sizes[1:] if has_rows else sizes
    if len(inner) != 3 or tensor.datatype == "BOOL":
        raise InputError(
            f"images cannot become the input {tensor}: it takes neither text nor rank 4; give arrays (.npy)"
        )
    if given is not None:
        inner = list(given[-3:]) if len(given) >= 3 else inner
    if inner[2] in _MODES or (inner[2] < 0 and inner[0] not in _MODES):
        height, width, channels = inner
        first = False
    elif inner[0] in _MODES:
        channels, height, width = inner
        first = True
    else:
        raise InputError(f"images cannot become the input {tensor}: no dimension is 1, 3 or 4 channels")
    return Layout(
        None if height < 0 else height,
        None if width < 0 else width,
        3 if channels < 0 else channels,
        first,
        has_rows,
    )


def _as_bytes(path: Path, tensor: TensorMetadata) -> Array:
    if any(size > 1 for size in tensor.shape):
        raise InputError(f"{path}: one image cannot fill the input {tensor}")
    array = np.empty([1] * len(tensor.shape), object)
    array[...] = path.read_bytes()
    return array


def _as_pixels(path: Path, tensor: TensorMetadata, layout: Layout, scale: Scale) -> Array:
    pixels = _decoded(path, layout)
    dtype = dtype_of(tensor.datatype)
    if dtype.kind in "iu":
        if dtype.itemsize == 1 and dtype.kind == "i":
            raise InputError(
                f"{path}: pixels of 0 to 255 cannot become INT8, which the input '{tensor.name}' takes"
            )
        array = pixels.astype(dtype)
    else:
        low, high = _ENDS[scale]
        array = (low + pixels.astype(np.float32) * ((high - low) / 255)).astype(dtype)
    if layout.channels_first:
        array = np.moveaxis(array, -1, 0)
    return np.ascontiguousarray(array[np.newaxis] if layout.has_rows else array)


def _decoded(path: Path, layout: Layout) -> Array:
    """uint8 [height, width, channels]."""
    try:
        from PIL import Image
    except ImportError:
        raise InputError("images need the package pillow: pip install 'hotgraph[loadtest]'") from None
    try:
        with Image.open(path) as image:
            if image.width * image.height > _MAX_PIXELS:
                raise InputError(f"{path}: {image.width}x{image.height} pixels are too many")
            coloured = image.convert(_MODES[layout.channels])
            size = (layout.width or coloured.width, layout.height or coloured.height)
            if size != coloured.size:
                coloured = coloured.resize(size, Image.Resampling.BILINEAR)
            pixels = np.asarray(coloured, np.uint8)
    # SyntaxError and ValueError are Pillow's for broken chunks, IndexError for broken palettes
    except (ValueError, SyntaxError, IndexError, EOFError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: it cannot be read as an image: {error}") from None
    return pixels.reshape(pixels.shape[0], pixels.shape[1], layout.channels)


def is_image_input(tensor: TensorMetadata) -> bool:
    """Could images be its values?"""
    rank = len(tensor.shape)
    return tensor.datatype == BYTES or rank == 4 or (rank == 3 and not is_free(tensor))
