"""labels.py: the best classes, with names."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_client.descriptions import TensorMetadata
from hotgraph_client.predicting.labels import askable, best_as_told, best_of, labels_of, read_labels


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("cat\ndog\n\n", "l.txt"),
        ("cat\r\ndog", "labels"),
        ('["cat", "dog"]', "l.json"),
        ('{"1": "dog", "0": "cat"}', "l.json"),
        ('{"0": ["n1", "cat"], "1": ["n2", "dog"]}', "l.json"),
    ],
)
def test_labels_are_lines_or_json(text: str, where: str) -> None:
    assert labels_of(text, where) == ["cat", "dog"]


@pytest.mark.parametrize(
    ("text", "where"),
    [("", "l.txt"), ("\n", "l.txt"), ("[]", "l.json"), ('{"a": 1}', "l.json"), ("[1]", "l.json")],
)
def test_file_without_labels_is_refused(text: str, where: str) -> None:
    with pytest.raises(ValueError, match="labels"):
        labels_of(text, where)


@given(st.binary(max_size=40), st.sampled_from(["l.txt", "l.json"]))
def test_whatever_a_file_holds_there_is_one_kind_of_error(folder: Path, data: bytes, name: str) -> None:
    (folder / name).write_bytes(data)
    with contextlib.suppress(ValueError):
        assert all(isinstance(label, str) for label in read_labels(folder / name))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("labels")


def test_largest_come_first_and_equal_ones_in_order_and_nan_last() -> None:
    best = best_of(np.array([[0.5, np.nan, 0.5, 0.9]], np.float32), 4, None, "y")
    assert best is not None
    assert [one["index"] for one in best.rows[0]] == [3, 0, 2, 1]
    assert best.rows[0][0] == {"index": 3, "value": 0.9}


@pytest.mark.parametrize(
    "array", [np.array(1.0), np.zeros((2, 1)), np.array([b"a"], object), np.zeros((2, 2, 2))]
)
def test_what_has_no_classes_has_no_best(array: Any) -> None:
    assert best_of(array, 2, None, "y") is None


def test_what_a_server_says_of_classes_is_read_and_other_texts_are_not() -> None:
    best = best_as_told(np.array([b"0.5:3:a:b", b"1:2"], object))
    assert best is not None
    assert best.rows == [[{"label": "a:b", "index": 3, "value": 0.5}, {"index": 2, "value": 1.0}]]
    assert best_as_told(np.array([b"positive"], object)) is None
    assert best_as_told(np.array([0.5])) is None


@given(st.lists(st.binary(max_size=12), min_size=1, max_size=4))
def test_whatever_strings_come_nothing_is_raised(texts: list[bytes]) -> None:
    best_as_told(np.array(texts, object))


def test_classes_are_asked_for_where_an_output_has_them() -> None:
    outputs = [
        TensorMetadata("scores", "FP32", (-1, 10)),
        TensorMetadata("names", "BYTES", (-1, 10)),
        TensorMetadata("one", "FP32", (-1, 1)),
        TensorMetadata("image", "FP32", (-1, 8, 8, 3)),
    ]
    assert askable(outputs) == ["scores"]
