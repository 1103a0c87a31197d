"""The request log as rows for the trial: what can be read of its latest file, and nothing that goes wrong."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from hotgraph_server.protocols.tfs import logged_records as module
from hotgraph_server.protocols.tfs.logged_records import logged_in
from hotgraph_server.warmup.warmup_calls import WarmupCall

from .test_warmup_records import SIGNATURES, UNUSABLE, floats, log


def write(folder: Path, name: str, *logs: Any, at: int = 0) -> Path:
    path = folder / name
    with tf.io.TFRecordWriter(str(path)) as writer:
        for one in logs:
            writer.write(one if isinstance(one, bytes) else one.SerializeToString())
    os.utime(path, (at, at))
    return path


def read(folder: Path) -> list[WarmupCall]:
    return list(logged_in(str(folder / "calls"))(SIGNATURES, UNUSABLE))


def values(calls: list[WarmupCall]) -> list[Any]:
    return [call.inputs[0].ravel().tolist()[0] for call in calls]


def test_calls_of_the_latest_file_are_read(tmp_path: Path) -> None:
    write(tmp_path, "calls-2-1.tfrecord", log(predict=floats(x=1)), at=10)
    write(tmp_path, "calls-1-2.tfrecord", log(predict=floats(x=2)), log(predict=floats(x=3)), at=20)
    write(tmp_path, "others-1.tfrecord", log(predict=floats(x=4)), at=30)
    assert values(read(tmp_path)) == [2, 3]


def test_where_nothing_is_written_down_there_is_nothing(tmp_path: Path) -> None:
    assert read(tmp_path) == []
    assert list(logged_in("gs://bucket/calls")(SIGNATURES, UNUSABLE)) == []


def test_record_of_another_version_is_passed_over(tmp_path: Path) -> None:
    unknown = floats(x=1)
    unknown.model_spec.signature_name = "not here"
    write(tmp_path, "calls-1.tfrecord", log(predict=unknown), b"\xff", log(predict=floats(x=5)))
    assert values(read(tmp_path)) == [5]


def test_file_that_is_cut_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = write(tmp_path, "calls-1.tfrecord", *[log(predict=floats(x=one)) for one in range(3)])
    path.write_bytes(path.read_bytes()[:-7])
    assert values(read(tmp_path)) == [0, 1]


def test_no_more_is_read_than_a_trial_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "calls-1.tfrecord", *[log(predict=floats(x=one)) for one in range(100)])
    assert len(read(tmp_path)) == 64
    monkeypatch.setattr(module, "MAX_BYTES", 200)
    assert 0 < len(read(tmp_path)) < 10
