"""logs.py: calls out of warm-up files and request logs."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_client.loadtest.inputs.items import InputError, InputSet
from hotgraph_client.loadtest.inputs.logs import read_log
from hotgraph_protos import tensorflow_serving_calls as tfs
from hotgraph_protos.tensors import Array

from ..described import description, logged, write_log

MODEL = description(("x", "FP32", (-1,)), outputs=[("y", "FP32", (-1,))])


def x(*values: float) -> dict[str, Array]:
    return {"x": np.array(values, np.float32)}


def read(*paths: Path, max_bytes: int = 2**20, answers: bool = False) -> InputSet:
    return read_log(paths, MODEL, "log", max_bytes, answers=answers)


def values(found: InputSet) -> list[list[float]]:
    return [item.inputs["x"].tolist() for item in found.items]


def test_calls_come_in_the_order_of_their_time(tmp_path: Path) -> None:
    first = write_log(tmp_path / "1", logged(x(1), second=100), logged(x(3), second=102))
    second = write_log(tmp_path / "2", logged(x(2), second=101), logged(x(4), second=102))
    found = read(first, second)
    assert values(found) == [[1], [2], [3], [4]]
    assert found.has_times
    assert found.source == "log (4 calls)"


def test_calls_of_one_second_are_spread_over_it(tmp_path: Path) -> None:
    seconds = [100, 100, 100, 100, 103, 103]
    path = write_log(tmp_path / "1", *(logged(x(at), second=second) for at, second in enumerate(seconds)))
    assert [item.at_s for item in read(path).items] == [0, 0.25, 0.5, 0.75, 3, 3.5]


def test_one_call_without_time_leaves_all_without(tmp_path: Path) -> None:
    path = write_log(tmp_path / "1", logged(x(1), second=100), logged(x(2)))
    found = read(path)
    assert not found.has_times
    assert values(found) == [[1], [2]]


def test_calls_that_are_alike_share_their_arrays(tmp_path: Path) -> None:
    path = write_log(tmp_path / "1", *(logged(x(at % 2), second=9 - at) for at in range(6)))
    found = read(path)
    assert values(found) == [[1], [0], [1], [0], [1], [0]]
    assert len({id(item.inputs) for item in found.items}) == 2


def test_answers_are_kept_where_they_are_wanted(tmp_path: Path) -> None:
    path = write_log(tmp_path / "1", logged(x(1), {"y": np.array([2], np.float32)}), logged(x(2)))
    first, second = read(path, answers=True).items
    assert first.expected is not None
    assert first.expected["y"].tolist() == [2]
    assert second.expected is None
    assert read(path).items[0].expected is None


def test_calls_of_other_models_are_left_out_where_ours_is_there(tmp_path: Path) -> None:
    other = logged({"z": np.zeros(1, np.float32)}, model="other")
    path = write_log(tmp_path / "1", logged(x(1)), other, logged(x(2), model="third"))
    found = read(path)
    assert values(found) == [[1]]
    assert found.notes == (
        "1 calls of 'other', which 'm' does not take left out",
        "log: 1 calls of other models were left out",
    )


def test_a_warm_up_files_own_name_of_the_model_does_not_count(tmp_path: Path) -> None:
    path = write_log(tmp_path / "1", logged(x(1), model="exported"))
    assert values(read(path)) == [[1]]
    path = write_log(tmp_path / "1", logged(x(1), model="a"), logged(x(1), model="b"))
    with pytest.raises(InputError, match=r"of several models \(a, b\), none of 'm'"):
        read(path)


def test_what_cannot_be_sent_is_counted(tmp_path: Path) -> None:
    kinds = [tfs.PredictionLog() for _ in range(4)]
    kinds[0].classify_log.SetInParent()
    kinds[1].regress_log.SetInParent()
    kinds[2].multi_inference_log.SetInParent()
    records = [log.SerializeToString() for log in kinds]
    path = write_log(tmp_path / "1", *records, logged(x(1)), logged(x(2), signature="other"))
    found = read(path)
    assert values(found) == [[1]]
    assert found.notes == (
        "1 calls of signature 'other' (see --signature) left out",
        "1 records of Classify calls (only Predict's can be sent) left out",
        "1 records of MultiInference calls (only Predict's can be sent) left out",
        "1 records of Regress calls (only Predict's can be sent) left out",
        "1 records of no calls (only Predict's can be sent) left out",
    )
    path = write_log(tmp_path / "1", *records)
    with pytest.raises(InputError, match="log: no Predict call of 'm' to send: 1 records of Classify calls"):
        read(path)


def test_reading_ends_where_memory_does(tmp_path: Path) -> None:
    path = write_log(tmp_path / "1", *(logged(x(*[at] * 250)) for at in range(10)))
    found = read(path, max_bytes=4000)
    assert len(found.items) == 4
    assert f"record 5 of {path}" in found.notes[0]
    # what is alike takes memory once
    path = write_log(tmp_path / "1", *(logged(x(*[0] * 250)) for _ in range(10)))
    assert len(read(path, max_bytes=4000).items) == 10


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\xff\xff", "it is no PredictionLog"),
        (logged({"z": np.zeros(1, np.float32)}), "the model has no input 'z'"),
        (logged({"x": np.array([b"text"], object)}), "'x': object cannot become FP32"),
        (logged({"x": np.zeros((1, 1, 1), np.float32)}), "'x': shape"),
    ],
)
def test_a_call_that_the_model_does_not_take_names_file_and_record(
    tmp_path: Path, data: bytes, why: str
) -> None:
    path = write_log(tmp_path / "1", logged(x(1)), data)
    model = description(("x", "FP32", (-1, 1)))
    with pytest.raises(InputError, match=f"record 2 of {path}: {why}"):
        read_log(
            [write_log(path, logged({"x": np.zeros((1, 1), np.float32)}), data)], model, "", 99, answers=False
        )


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs") / "log.tfrecord"


@given(data=st.binary(max_size=50), at=st.integers(0, 60), byte=st.integers(0, 255))
def test_whatever_a_record_holds_there_is_one_kind_of_error(
    file: Path, data: bytes, at: int, byte: int
) -> None:
    whole = bytearray(logged(x(1), {"y": np.zeros(1, np.float32)}, second=5))
    whole[at % len(whole)] = byte
    for one in (data, bytes(whole)):
        with contextlib.suppress(InputError):
            read(write_log(file, one), answers=True)
