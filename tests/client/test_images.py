"""images.py: arrays as pictures; pictures as arrays are in loadtest/inputs/test_images.py."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hotgraph_client.descriptions import TensorMetadata
from hotgraph_client.images import (
    ImageError,
    Scale,
    as_bytes,
    as_pixels,
    layout_of,
    png_of,
    scale_of,
)
from hotgraph_protos.tensors import Array

SCALES: list[Scale] = ["0..1", "-1..1", "0..255"]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1), (2, 3, 3), (2, 3, 4)])
def test_picture_that_became_floats_becomes_the_same_picture(scale: Scale, shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    channels = shape[2] if len(shape) == 3 else 1
    tensor = TensorMetadata("x", "FP32", (-1, -1, -1, channels))
    made = as_pixels(png_of(pixels, "0..255", "x"), tensor, layout_of(tensor), scale, "x")
    again = png_of(made.array[0], scale, "x")
    with Image.open(io.BytesIO(again)) as image:
        assert np.asarray(image).reshape(shape).tolist() == pixels.tolist()


def test_channels_may_come_first() -> None:
    pixels = np.zeros((3, 5, 7), np.uint8)
    with Image.open(io.BytesIO(png_of(pixels, "0..255", "x"))) as image:
        assert (image.size, image.mode) == ((7, 5), "RGB")


@pytest.mark.parametrize(
    ("low", "high", "scale"),
    [(0, 1, "0..1"), (-0.02, 1.03, "0..1"), (-1, 1, "-1..1"), (0, 255, "0..255"), (-4, 260, "0..255")],
)
def test_scale_is_the_narrowest_that_holds_the_values(low: float, high: float, scale: Scale) -> None:
    assert scale_of(np.array([low, high])) == scale


def test_values_beyond_the_ends_are_cut_off() -> None:
    with Image.open(io.BytesIO(png_of(np.array([[-1.0, 2.0, np.nan]]), "0..1", "x"))) as image:
        assert np.asarray(image).tolist() == [[0, 255, 0]]


@pytest.mark.parametrize("array", [np.zeros(3), np.zeros((2, 2, 2)), np.zeros((0, 2)), np.full((2, 2), 256)])
def test_what_is_no_picture_is_told(array: Array) -> None:
    with pytest.raises(ImageError, match=r"y: .*\.npy takes any"):
        png_of(array, "0..1", "y")


def test_one_file_is_one_row_of_text() -> None:
    assert as_bytes(b"a", TensorMetadata("x", "BYTES", (-1, 1)), "f").tolist() == [[b"a"]]
    assert as_bytes(b"a", TensorMetadata("x", "BYTES", ()), "f")[()] == b"a"
    with pytest.raises(ImageError, match="cannot fill"):
        as_bytes(b"a", TensorMetadata("x", "BYTES", (-1, 2)), "f")


@given(st.lists(st.integers(-1, 6), max_size=5))
def test_any_shape_has_a_layout_or_the_error(shape: list[int]) -> None:
    try:
        layout = layout_of(TensorMetadata("x", "FP32", tuple(shape)))
    except ImageError:
        return
    assert layout.channels in (1, 3, 4)


def test_large_picture_that_is_read_comes_without_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60)
    tensor = TensorMetadata("x", "FP32", (-1, 2, 2, 3))
    for height, fits in ((10, True), (13, False)):
        written = io.BytesIO()
        Image.new("RGB", (10, height)).save(written, "PNG")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            if fits:
                assert as_pixels(written.getvalue(), tensor, layout_of(tensor), "0..1", "x").found == (10, 10)
            else:
                with pytest.raises(ImageError, match="130 pixels"):
                    as_pixels(written.getvalue(), tensor, layout_of(tensor), "0..1", "x")
