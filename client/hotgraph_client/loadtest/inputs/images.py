"""A folder of images as inputs: as they are for a model that decodes, as pixels for one that does not.

How an image becomes the values of an input is `hotgraph_client.images`'.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from hotgraph_protos.tensors import BYTES, Array

from ...descriptions import TensorMetadata
from ...images import ImageError, Scale, as_bytes, as_pixels, is_image_input, layout_of
from .items import InputError

__all__ = ["SUFFIXES", "image_files", "is_image_input", "read_images"]

SUFFIXES = (".jpg", ".jpeg", ".png")


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
    try:
        layout = None if tensor.datatype == BYTES else layout_of(tensor, given)
        for path in files:
            data = path.read_bytes()
            if layout is None:
                yield as_bytes(data, tensor, str(path))
            else:
                yield as_pixels(data, tensor, layout, scale, str(path)).array
    except ImageError as error:
        raise InputError(str(error)) from None
    except OSError as error:
        raise InputError(f"{error.filename}: {error.strerror or error}") from None
