"""images.py: a folder of images as inputs."""

from __future__ import annotations

import contextlib
import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hotgraph_client.descriptions import TensorMetadata
from hotgraph_client.images import Scale, layout_of
from hotgraph_client.loadtest.inputs.images import image_files, read_images
from hotgraph_client.loadtest.inputs.items import InputError
from hotgraph_protos.tensors import Array


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A red image, 4 wide and 2 high, and a grey one in a folder of its own; and what is none."""
    Image.new("RGB", (4, 2), (255, 0, 51)).save(tmp_path / "a.png")
    (tmp_path / "inner").mkdir()
    Image.new("L", (3, 3), 51).save(tmp_path / "inner" / "b.JPG", "JPEG")
    (tmp_path / "notes.txt").write_text("nothing")
    return tmp_path


def read(folder: Path, datatype: str, *shape: int, scale: Scale = "0..1", given: Any = None) -> list[Array]:
    return list(read_images(image_files(folder), TensorMetadata("x", datatype, shape), scale, given))


def test_text_inputs_take_the_files_bytes(folder: Path) -> None:
    for shape in ((-1,), (-1, 1), ()):
        first, second = read(folder, "BYTES", *shape)
        assert first.shape == tuple(abs(size) for size in shape)
        assert first.ravel()[0] == (folder / "a.png").read_bytes()
        assert second.ravel()[0] == (folder / "inner" / "b.JPG").read_bytes()


@pytest.mark.parametrize(
    ("scale", "red"), [("0..1", [1, 0, 0.2]), ("-1..1", [1, -1, -0.6]), ("0..255", [255, 0, 51])]
)
def test_pixels_are_scaled_where_floats_are_taken(folder: Path, scale: Scale, red: list[float]) -> None:
    first, second = read(folder, "FP32", -1, 2, 4, 3, scale=scale)
    assert first.dtype == np.float32
    assert first.shape == second.shape == (1, 2, 4, 3)
    np.testing.assert_allclose(first[0, 1, 3], red, atol=1e-6)
    np.testing.assert_allclose(second[0, 0, 0], [red[2]] * 3, atol=0.02 * max(map(abs, red)))


def test_pixels_stay_whole_where_whole_numbers_are_taken(folder: Path) -> None:
    first, _ = read(folder, "UINT8", -1, -1, -1, 3)
    assert first.dtype == np.uint8
    assert first.shape == (1, 2, 4, 3)
    assert first[0, 0, 0].tolist() == [255, 0, 51]
    with pytest.raises(InputError, match="cannot become INT8"):
        read(folder, "INT8", -1, 2, 4, 3)


@pytest.mark.parametrize(
    ("shape", "given", "of_first", "of_second"),
    [
        ((-1, 6, 5, 3), None, (1, 6, 5, 3), (1, 6, 5, 3)),
        ((-1, 3, 6, 5), None, (1, 3, 6, 5), (1, 3, 6, 5)),
        ((-1, -1, -1, 1), None, (1, 2, 4, 1), (1, 3, 3, 1)),
        ((-1, -1, -1, 3), (7, 8, 3), (1, 7, 8, 3), (1, 7, 8, 3)),
        ((-1, -1, -1, -1), None, (1, 2, 4, 3), (1, 3, 3, 3)),
        ((6, 5, 4), None, (6, 5, 4), (6, 5, 4)),
    ],
)
def test_images_get_the_inputs_size_or_keep_their_own(
    folder: Path, shape: tuple[int, ...], given: Any, of_first: Any, of_second: Any
) -> None:
    first, second = read(folder, "UINT8", *shape, given=given)
    assert (first.shape, second.shape) == (of_first, of_second)


def test_channels_first_is_told_by_the_shape() -> None:
    def channels_first(*shape: int) -> bool:
        return layout_of(TensorMetadata("x", "FP32", shape), None).channels_first

    assert channels_first(-1, 3, 224, 224)
    assert not channels_first(-1, 224, 224, 3)
    assert channels_first(-1, 1, -1, -1)
    assert not channels_first(-1, 3, 3, 3)


@pytest.mark.parametrize(
    ("datatype", "shape"),
    [("FP32", (-1, 4)), ("FP32", (-1, 224, 224, 5)), ("BOOL", (-1, 2, 2, 3)), ("BYTES", (2,))],
)
def test_inputs_that_take_no_images_are_told(folder: Path, datatype: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="the input x"):
        read(folder, datatype, *shape)


def test_what_is_no_image_is_named(folder: Path) -> None:
    (folder / "c.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"c\.png: cannot identify image file"):
        read(folder, "FP32", -1, 2, 2, 3)


def test_an_image_that_says_it_is_huge_takes_no_memory(folder: Path) -> None:
    data = bytearray((folder / "a.png").read_bytes())
    # width and height, and the checksum of their chunk
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    (folder / "a.png").write_bytes(data)
    with pytest.raises(InputError, match=r"a\.png: "):
        read(folder, "FP32", -1, 2, 2, 3)


@given(data=st.binary(max_size=60), at=st.integers(0, 70), byte=st.integers(0, 255))
def test_whatever_a_file_holds_there_is_one_kind_of_error(
    file: Path, data: bytes, at: int, byte: int
) -> None:
    changed = bytearray(PNG)
    changed[at % len(PNG)] = byte
    for one in (data, b"\x89PNG\r\n\x1a\n" + data, b"\xff\xd8" + data, bytes(changed)):
        file.write_bytes(one)
        with contextlib.suppress(InputError):
            list(read_images([file], TensorMetadata("x", "FP32", (-1, 2, 2, 3)), "0..1", None))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images") / "x.png"


def _png() -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (4, 2), (255, 0, 51)).save(written, "PNG")
    return written.getvalue()


PNG = _png()
