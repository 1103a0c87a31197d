"""Images and arrays, both ways: what a file becomes for an input, and an output as a PNG.

An input of text (BYTES) takes a file's bytes as they are. Of a numeric one of rank 4 (rank 3: without rows)
the dimension of 1, 3 or 4 at its end, or after the rows, is the channels; images are turned into its colours,
resized to its height and width (their own, where these are free), and scaled where it takes floats.

Decoding needs Pillow, which few callers do: it is imported when it is needed, and an error says how to get
it.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from hotgraph_protos.tensors import BYTES, Array, dtype_of

from .descriptions import TensorMetadata

SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp")

Scale = Literal["0..1", "-1..1", "0..255"]
SCALES: tuple[Scale, ...] = get_args(Scale)

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_ENDS: dict[Scale, tuple[float, float]] = {"0..1": (0.0, 1.0), "-1..1": (-1.0, 1.0), "0..255": (0.0, 255.0)}

# As many as a camera has; a file of a few bytes may say that it has any number of them.
_MAX_PIXELS = 2**28


class ImageError(ValueError):
    """An image that cannot be read, or become what is wanted of it: one line that says what and where."""


class Layout(NamedTuple):
    """How pixels lie in an input: `height` and `width` of None are the image's own."""

    height: int | None
    width: int | None
    channels: int
    channels_first: bool
    has_rows: bool


class Pixels(NamedTuple):
    """An image as an input takes it.

    Attributes:
        array: of the input's datatype and rank, one row.
        found: width and height of the file's image.
        size: width and height of the array's.
    """

    array: Array
    found: tuple[int, int]
    size: tuple[int, int]


def layout_of(tensor: TensorMetadata, given: Sequence[int] | None = None) -> Layout:
    """How an input takes images.

    Args:
        given: sizes that its free dimensions shall have, with or without its rows.

    Raises:
        ImageError: it takes none.
    """
    sizes = list(tensor.shape)
    has_rows = len(sizes) == 4
    inner = sizes[1:] if has_rows else sizes
    if len(inner) != 3 or tensor.datatype == "BOOL":
        raise ImageError(
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
        raise ImageError(f"images cannot become the input {tensor}: no dimension is 1, 3 or 4 channels")
    return Layout(
        None if height < 0 else height,
        None if width < 0 else width,
        3 if channels < 0 else channels,
        first,
        has_rows,
    )


def as_bytes(data: bytes, tensor: TensorMetadata, where: str) -> Array:
    """The bytes of a file as an input of text, one row.

    Raises:
        ImageError: it takes more than one string.
    """
    if any(size > 1 for size in tensor.shape):
        raise ImageError(f"{where}: one file cannot fill the input {tensor}")
    array = np.empty([1] * len(tensor.shape) if tensor.shape != (-1,) else [1], object)
    array[...] = data
    return array


def as_pixels(data: bytes, tensor: TensorMetadata, layout: Layout, scale: Scale, where: str) -> Pixels:
    """An image as an input of numbers, one row.

    Args:
        data: what the file holds.
        scale: what 0 and 255 become where the input takes floats.

    Raises:
        ImageError: it cannot be read, the input takes no pixels, or Pillow is not installed.
    """
    pixels, found = _decoded(data, layout, where)
    dtype = dtype_of(tensor.datatype)
    if dtype.kind in "iu":
        if dtype.itemsize == 1 and dtype.kind == "i":
            raise ImageError(
                f"{where}: pixels of 0 to 255 cannot become INT8, which the input '{tensor.name}' takes"
            )
        array = pixels.astype(dtype)
    else:
        low, high = _ENDS[scale]
        array = (low + pixels.astype(np.float32) * ((high - low) / 255)).astype(dtype)
    if layout.channels_first:
        array = np.moveaxis(array, -1, 0)
    size = (pixels.shape[1], pixels.shape[0])
    return Pixels(np.ascontiguousarray(array[np.newaxis] if layout.has_rows else array), found, size)


def scale_of(array: Array) -> Scale:
    """The narrowest of the scales that holds all values, but for what a model overshoots by."""
    low, high = (float(np.nanmin(array)), float(np.nanmax(array))) if array.size else (0.0, 1.0)
    if high > 2 or low < -2:
        return "0..255"
    return "-1..1" if low < -0.05 else "0..1"


def png_of(array: Array, scale: Scale, where: str) -> bytes:
    """One image as a PNG.

    Args:
        array: uint8, or floats of `scale`, which are cut off beyond its ends; [height, width], or with 1, 3
            or 4 channels at the end or the beginning.

    Raises:
        ImageError: it is no image, or Pillow is not installed.
    """
    image = _pillow()
    if array.ndim == 3 and array.shape[-1] not in _MODES and array.shape[0] in _MODES:
        array = np.moveaxis(array, 0, -1)
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[:, :, 0]
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[-1] in _MODES)) or not array.size:
        raise ImageError(
            f"{where}: an array of shape {list(array.shape)} is no image; .npy takes any (NAME=out.npy)"
        )
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * np.uint8(255)
    elif array.dtype.kind == "f" or array.dtype.name == "bfloat16":
        low, high = _ENDS[scale]
        wide = np.nan_to_num(array.astype(np.float64), nan=low)
        array = np.rint((np.clip(wide, low, high) - low) * (255 / (high - low))).astype(np.uint8)
    elif array.dtype != np.uint8:
        if array.dtype.kind not in "iu" or int(array.min()) < 0 or int(array.max()) > 255:
            raise ImageError(
                f"{where}: values of {array.dtype} beyond 0 to 255 are no pixels; .npy takes any"
            )
        array = array.astype(np.uint8)
    written = io.BytesIO()
    image.fromarray(np.ascontiguousarray(array)).save(written, "PNG")
    return written.getvalue()


def is_image_input(tensor: TensorMetadata) -> bool:
    """Could images be its values?"""
    rank = len(tensor.shape)
    return tensor.datatype == BYTES or rank == 4 or (rank == 3 and tensor.shape[0] >= 0)


def is_image_file(path: Path) -> bool:
    """Is it one by its name?"""
    return path.suffix.lower() in SUFFIXES


def _decoded(data: bytes, layout: Layout, where: str) -> tuple[Array, tuple[int, int]]:
    """uint8 [height, width, channels], and the width and height that the file has."""
    image_module = _pillow()
    try:
        with _opened(image_module, data) as image:
            if image.width * image.height > _MAX_PIXELS:
                raise ImageError(f"{where}: {image.width}x{image.height} pixels are too many")
            found = image.size
            coloured = image.convert(_MODES[layout.channels])
            size = (layout.width or coloured.width, layout.height or coloured.height)
            if size != coloured.size:
                coloured = coloured.resize(size, image_module.Resampling.BILINEAR)
            pixels = np.asarray(coloured, np.uint8)
    except ImageError:
        raise
    except OSError as error:
        # Pillow's names the file object that it was given, which says nothing
        told = "cannot identify image file" if "identify" in str(error) else error
        raise ImageError(f"{where}: {told}") from None
    # SyntaxError and ValueError are Pillow's for broken chunks, IndexError for broken palettes
    except (ValueError, SyntaxError, IndexError, EOFError, image_module.DecompressionBombError) as error:
        raise ImageError(f"{where}: it cannot be read as an image: {error}") from None
    return pixels.reshape(pixels.shape[0], pixels.shape[1], layout.channels), found


def _opened(image_module: Any, data: bytes) -> Any:
    with warnings.catch_warnings():
        # Of sizes that are allowed here, and refused where they are too large.
        warnings.simplefilter("ignore", image_module.DecompressionBombWarning)
        return image_module.open(io.BytesIO(data))


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise ImageError("images need the package pillow: pip install 'hotgraph[images]'") from None
    return Image
