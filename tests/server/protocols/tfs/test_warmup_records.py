"""Warm-up files: every kind of record, and every reason why TensorFlow Serving refuses one."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_serving.apis import prediction_log_pb2

from hotgraph_server.errors import CallError, LoadError
from hotgraph_server.observability.request_log.records import prediction_log
from hotgraph_server.protocols.tfs.warmup_records import FILE, MAX_RECORDS, read_records, records_in
from hotgraph_server.warmup.warmup_calls import WarmupCall

from ..fakes import float_signature
from .test_examples import example
from .test_inference import CLASSIFY, REGRESS, classification, regression, tasks
from .test_prediction import request

FLOATS = float_signature("floats", defaults={"y": np.full((1, 2), 7, np.float32)})
SIGNATURES = {one.name: one for one in (CLASSIFY, REGRESS, FLOATS)}
UNUSABLE = {"broken": "it has no outputs"}


def log(**request: Any) -> Any:
    """A PredictionLog of one kind: ``log(predict=REQUEST)``."""
    built = prediction_log_pb2.PredictionLog()
    for kind, message in request.items():
        getattr(built, f"{kind}_log").request.CopyFrom(message)
    return built


def write(directory: Path, *logs: Any) -> Path:
    """A SavedModel's folder with these records; bytes are written as they are."""
    path = directory / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for one in logs:
            writer.write(one if isinstance(one, bytes) else one.SerializeToString())
    return directory


def brought(directory: Path) -> list[WarmupCall]:
    return list(records_in(directory)(SIGNATURES, UNUSABLE))


def refusal(directory: Path) -> str:
    with pytest.raises(LoadError) as raised:
        brought(directory)
    return str(raised.value)


def floats(*, signature: str = "floats", **inputs: float) -> Any:
    """A PredictRequest of one row; `y` has a default."""
    arrays = {alias: np.full((1, 2), value, np.float32) for alias, value in inputs.items()}
    return request(signature=signature, inputs=arrays)


def test_model_that_brings_nothing_brings_nothing(tmp_path: Path) -> None:
    assert brought(tmp_path) == []
    assert brought(write(tmp_path)) == []


def test_predict_comes_with_its_filter_and_its_defaults(tmp_path: Path) -> None:
    filtered = floats(x=1)
    filtered.output_filter.append("difference")
    first, second = brought(write(tmp_path, log(predict=floats(x=1, y=2)), log(predict=filtered)))
    assert [array.tolist() for array in first.inputs] == [[[1, 1]], [[2, 2]]]
    assert (first.kind, first.signature, first.outputs) == ("predict", FLOATS, ("sum", "difference"))
    assert [array.tolist() for array in second.inputs] == [[[1, 1]], [[7, 7]]]
    assert second.outputs == ("difference",)


def test_classify_and_regress_come_as_strings(tmp_path: Path) -> None:
    one, context = example(x=[1.0]), example(y=[2.0])
    first, second = brought(
        write(
            tmp_path,
            log(classify=classification(one, one, context=context)),
            log(regress=regression(one)),
        )
    )
    merged = context.SerializeToString() + one.SerializeToString()
    assert [array.tolist() for array in first.inputs] == [[merged] * 2]
    assert (first.kind, first.signature, first.outputs) == ("classify", CLASSIFY, ("classes", "scores"))
    assert (second.kind, second.signature, second.outputs) == ("regress", REGRESS, ("outputs",))
    second.check([np.zeros(1, np.float32)])
    with pytest.raises(CallError, match="Input batch size did not match"):
        second.check([np.zeros(2, np.float32)])


def test_multi_inference_comes_as_a_call_for_each_task(tmp_path: Path) -> None:
    calls = brought(write(tmp_path, log(multi_inference=tasks("", "regress/regress"))))
    assert [call.signature for call in calls] == [CLASSIFY, REGRESS]
    assert {call.kind for call in calls} == {"multi_inference"}
    assert calls[0].inputs[0] is calls[1].inputs[0]


def test_model_and_version_of_a_record_do_not_count(tmp_path: Path) -> None:
    other = floats(x=1)
    other.model_spec.name = "of another name"
    other.model_spec.version.value = 99
    assert len(brought(write(tmp_path, log(predict=other)))) == 1


@pytest.mark.parametrize(
    ("method", "sent"),
    [
        ("Predict", floats(x=1)),
        ("Classify", classification(example(x=[1.0]))),
        ("Regress", regression(example(x=[1.0]))),
        ("MultiInference", tasks("")),
    ],
)
def test_what_our_own_request_log_wrote_down_is_read(tmp_path: Path, method: str, sent: Any) -> None:
    record = prediction_log(method, sent.SerializeToString(), b"", 1.0, 1_700_000_000)
    (call,) = brought(write(tmp_path, record))
    assert call.kind.replace("_", "") == method.lower()


def test_record_without_a_call_is_passed_over(tmp_path: Path) -> None:
    logs = [log(), log(predict=floats(x=1)), b""]
    assert [call.what for call in brought(write(tmp_path, *logs))] == [f"record 2 of {tmp_path / FILE}"]


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (
            prediction_log_pb2.PredictionLog(session_run_log={}),
            "record 1: UNIMPLEMENTED: Unsupported log_type for warmup: 5 (session_run_log)",
        ),
        (
            prediction_log_pb2.PredictionLog(predict_streamed_log={}),
            "record 1: UNIMPLEMENTED: Unsupported log_type for warmup: 7 (predict_streamed_log)",
        ),
        (b"\xff", "INVALID_ARGUMENT: Failed to parse warmup record: record 1: "),
        (
            log(predict=floats(x=1, signature="x")),
            'record 1: FAILED_PRECONDITION: Serving signature key "x" not found.',
        ),
        (
            log(predict=floats(x=1, signature="broken")),
            'record 1: FAILED_PRECONDITION: Serving signature key "broken" not found. It cannot be called',
        ),
        (log(predict=floats(z=1)), "record 1: INVALID_ARGUMENT: Inputs contains invalid name."),
        (log(classify=classification()), "record 1: INVALID_ARGUMENT: Input is empty."),
        (
            log(regress=regression(example(x=[1.0]), signature="floats")),
            "record 1: INVALID_ARGUMENT: Expected one input Tensor.",
        ),
        (
            log(multi_inference=tasks("", "serving_default")),
            "record 1: INVALID_ARGUMENT: Duplicate evaluation of signature: serving_default",
        ),
    ],
)
def test_record_that_cannot_be_run_is_refused_and_named(tmp_path: Path, one: Any, words: str) -> None:
    assert refusal(write(tmp_path, one)).startswith(f"{tmp_path / FILE}: {words}")


def test_a_thousand_records_are_enough(tmp_path: Path) -> None:
    record = log(predict=floats(x=1)).SerializeToString()
    assert len(brought(write(tmp_path, *[record] * MAX_RECORDS))) == MAX_RECORDS == 1000
    assert "INVALID_ARGUMENT: Number of warmup records exceeds the maximum (1000)" in refusal(
        write(tmp_path, *[record] * (MAX_RECORDS + 1))
    )


def test_calls_before_a_bad_record_are_handed_out(tmp_path: Path) -> None:
    """Whoever asks for a few only, for the trial, does not read the rest."""
    calls = records_in(write(tmp_path, log(predict=floats(x=1)), b"\xff"))(SIGNATURES, UNUSABLE)
    assert next(calls).kind == "predict"
    with pytest.raises(LoadError):
        next(calls)


@pytest.mark.parametrize("content", [b"no TFRecord at all", b"\0" * 16, b"\xff" * 4])
def test_file_that_is_no_tfrecord_is_refused(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path) / FILE
    path.write_bytes(content)
    found = refusal(tmp_path)
    assert found.startswith(f"{path}: DATA_LOSS: ")
    assert found.endswith("Please verify your warmup data is in TFRecord format.")


def test_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir(parents=True)
    assert refusal(tmp_path).startswith(f"{tmp_path / FILE}: ")


def records_of(path: Path) -> tuple[list[bytes], bool]:
    """The records of a file, and whether it was found to be broken behind them."""
    found: list[bytes] = []
    try:
        found.extend(read_records(path))
    except LoadError:
        return found, True
    return found, False


@given(st.lists(st.binary(max_size=20), max_size=4), st.data())
def test_file_cut_or_changed_anywhere_gives_its_whole_records_or_an_error(
    records: list[bytes], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), *records) / FILE
        assert records_of(path) == (records, False)
        whole = path.read_bytes()
        ends = [sum(16 + len(record) for record in records[:count]) for count in range(len(records) + 1)]
        end = data.draw(st.integers(0, len(whole)))
        path.write_bytes(whole[:end])
        found, broken = records_of(path)
        assert found == records[: len(found)]
        assert broken == (end not in ends)
        if whole:
            changed = bytearray(whole)
            changed[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
            path.write_bytes(changed)
            found, broken = records_of(path)
            assert found == records[: len(found)]
            assert broken
