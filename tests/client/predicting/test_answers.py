"""answers.py: answers as JSON and as files."""

from __future__ import annotations

import io
import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from PIL import Image

from hotgraph_client.predicting import answers
from hotgraph_client.predicting.labels import Best
from hotgraph_protos.tensors import Array


def test_long_arrays_are_shortened_unless_full() -> None:
    answer: dict[str, Array] = {"y": np.arange(24).reshape(2, 12)}
    assert json.loads(answers.to_json(answer, full=False))["y"][0] == [*range(10), "... 2 more"]
    assert json.loads(answers.to_json(answer, full=True))["y"][1] == list(range(12, 24))


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.float32(0.1), "0.1"),
        (np.array([0.1, np.inf], np.float16), "[0.1, Infinity]"),
        (np.array([0.5, 3], ml_dtypes.bfloat16), "[0.5, 3.0]"),
        (np.array([True, False]), "[true, false]"),
        (np.array([2**64 - 1], np.uint64), "[18446744073709551615]"),
        (np.empty((0, 3)), "[]"),
        (np.array("é".encode(), object), '"é"'),
    ],
)
def test_elements_are_printed_as_short_as_they_are_exact(array: Array, text: str) -> None:
    assert answers.to_json({"y": np.asarray(array)}, full=True) == '{\n  "y": ' + text + "\n}"


def test_saved_npz_has_all_outputs_whatever_their_names(tmp_path: Path) -> None:
    answer = {
        "file": np.array([1]),
        "scores/0": np.array([b"a", b"bc"], object),
        "half": np.array([1.5], ml_dtypes.bfloat16),
    }
    (path,) = answers.save(answer, tmp_path / "answer.npz")
    with np.load(path, allow_pickle=False) as saved:
        assert saved["file"].tolist() == [1]
        assert saved["scores/0"].tolist() == [b"a", b"bc"]
        assert saved["half"].dtype == np.float32


def test_name_from_the_server_does_not_lead_out_of_the_directory(tmp_path: Path) -> None:
    paths = answers.save({"../../up": np.ones(1), "/root": np.ones(1)}, tmp_path / "in")
    assert {path.parent for path in paths} == {tmp_path / "in"}
    with pytest.raises(ValueError, match="share a file"):
        answers.save({"a/b": np.ones(1), "a_b": np.ones(1)}, tmp_path / "in")


def test_strings_that_files_would_cut_are_not_saved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="zero byte"):
        answers.save({"y": np.array([b"a\0"], object)}, tmp_path / "answer.npz")


def test_best_classes_are_a_row_a_line() -> None:
    best = Best([[{"index": 1, "value": 0.5}]] * 12)
    lines = answers.to_json({"y": best}, full=False).splitlines()
    assert lines[1:3] == ['  "y": [', '    [{"index": 1, "value": 0.5}],']
    assert "2 more" in lines[-3]
    assert len(json.loads(answers.to_json({"y": best}, full=True))["y"]) == 12


@pytest.mark.parametrize(
    ("shape", "count"),
    [((2, 3, 3), 1), ((3, 8, 9), 1), ((5, 8, 9), 5), ((1, 8, 9, 1), 1), ((4, 8, 9, 3), 4)],
)
def test_image_outputs_are_one_file_or_one_for_each_row(
    tmp_path: Path, shape: tuple[int, ...], count: int
) -> None:
    files, said = answers.save_output("y", np.zeros(shape, np.float32), tmp_path / "y.png", None)
    assert len(files) == count
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)
    assert "taken as 0..1" in said


def test_encoded_pictures_are_written_as_they_are(tmp_path: Path) -> None:
    written = io.BytesIO()
    Image.new("L", (2, 2)).save(written, "JPEG")
    output = np.array([written.getvalue()], object)
    (file,), said = answers.save_output("y", output, tmp_path / "y.jpg", None)
    assert (file.read_bytes(), said) == (written.getvalue(), "")


@pytest.mark.parametrize(
    ("array", "file", "why"),
    [
        (np.zeros((2, 7, 7, 2), np.float32), "y.png", r"shape \[7, 7, 2\] is no image"),
        (np.full((2, 2, 1), 300), "y.png", "beyond 0 to 255"),
        (np.zeros(3), "y.png", "is no image"),
        (np.zeros((2, 2)), "y.png", r"shape \[2, 2\] is no image"),
        (np.zeros((2, 2)), "y.jpg", "becomes .npy or .png"),
    ],
)
def test_output_that_is_no_picture_is_told(tmp_path: Path, array: Array, file: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        answers.save_output("y", array, tmp_path / file, None)
