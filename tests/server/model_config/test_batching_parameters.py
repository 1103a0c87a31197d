"""batching_parameters.py: TensorFlow Serving's words for batches, as ours."""

from __future__ import annotations

import dataclasses
import logging
import re
from pathlib import Path

import pytest

from hotgraph_protos.tensorflow_serving_files import BatchingParameters
from hotgraph_server import text_proto
from hotgraph_server.errors import SettingsError
from hotgraph_server.model_config.batching_parameters import (
    FILE_NAME,
    defaults,
    in_version,
    read,
    settings,
    without_meaning,
)
from hotgraph_server.settings import BatchSettings

LIKE = BatchSettings(refuse_with="unavailable", verify_one_in=7)


def parsed(text: str) -> BatchSettings:
    return settings(text_proto.parse(text, BatchingParameters, "file"), LIKE)


def test_what_is_not_said_is_as_in_tensorflow_serving() -> None:
    found = defaults(LIKE)
    assert found == dataclasses.replace(
        LIKE,
        max_batch_rows=1000,
        max_call_rows=1000,
        max_wait_us=0,
        max_queued_calls=10_000,
        max_queued_rows=10_000,
        split=False,
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max_batch_size { value: 8 }", {"max_batch_rows": 8, "max_queued_rows": 80, "max_queued_calls": 80}),
        ("batch_timeout_micros { value: 500 }", {"max_wait_us": 500}),
        ("batch_timeout_micros { value: 99999999 }", {"max_wait_us": 10_000_000}),
        (
            "max_batch_size { value: 8 } max_enqueued_batches { value: 3 }",
            {"max_queued_rows": 24, "max_queued_calls": 24},
        ),
        # as there, 0 is 1
        ("max_batch_size { value: 8 } max_enqueued_batches { value: 0 }", {"max_queued_rows": 8}),
        (
            "max_batch_size { value: 8 } allowed_batch_sizes: [2, 4, 8]",
            {"max_batch_rows": 8, "row_buckets": (2, 4, 8)},
        ),
        ("enable_large_batch_splitting { value: true }", {"split": True, "max_batch_rows": 1000}),
        ("enable_large_batch_splitting { value: false }", {"split": False}),
        (
            "max_batch_size { value: 64 } enable_large_batch_splitting { value: true }"
            " max_execution_batch_size { value: 16 } allowed_batch_sizes: 4 allowed_batch_sizes: 16",
            {"split": True, "max_batch_rows": 16, "max_call_rows": 64, "row_buckets": (4, 16)},
        ),
        ("max_execution_batch_size { value: 16 }", {"max_batch_rows": 1000}),
        ("num_batch_threads { value: 4 } thread_pool_name { value: 'p' }", {"max_batch_rows": 1000}),
    ],
)
def test_each_field_is_a_setting(text: str, expected: dict[str, object]) -> None:
    found = parsed(text)
    assert {name: getattr(found, name) for name in expected} == expected
    assert (found.refuse_with, found.verify_one_in) == ("unavailable", 7)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_batch_size { value: 0 }", "max_batch_size must be at least 1, got 0"),
        ("max_batch_size { value: -1 }", "max_batch_size must be at least 1, got -1"),
        ("batch_timeout_micros { value: -1 }", "batch_timeout_micros must be at least 0, got -1"),
        ("max_enqueued_batches { value: -1 }", "max_enqueued_batches must be at least 0, got -1"),
        ("num_batch_threads { value: 0 }", "num_batch_threads must be at least 1, got 0"),
        ("allowed_batch_sizes: 8", r"allowed_batch_sizes must rise, .* \(1000\), got \[8\]"),
        ("max_batch_size { value: 8 } allowed_batch_sizes: [4, 4, 8]", r"must rise, .* got \[4, 4, 8\]"),
        ("max_batch_size { value: 8 } allowed_batch_sizes: [0, 8]", r"must rise, .* got \[0, 8\]"),
        (
            "max_batch_size { value: 8 } enable_large_batch_splitting { value: true }"
            " max_execution_batch_size { value: 9 }",
            r"max_execution_batch_size must be 1 to max_batch_size \(8\), got 9",
        ),
    ],
)
def test_value_that_cannot_be_is_told_with_file_and_field(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "batching.txt"
    file.write_text(text)
    with pytest.raises(SettingsError, match=f"{re.escape(str(file))}: .*{said}"):
        read(file, LIKE)
    with pytest.raises(SettingsError, match=said):
        parsed(text)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("max_batch_size { value: 8 }", []),
        ("num_batch_threads { value: 4 }", ["num_batch_threads"]),
        ("thread_pool_name { value: 'p' } num_batch_threads {}", ["num_batch_threads", "thread_pool_name"]),
        ("pad_variable_length_inputs: true", ["pad_variable_length_inputs"]),
        ("pad_variable_length_inputs: false", []),
        ("batch_timeout_micros { value: 99999999 }", ["batch_timeout_micros"]),
        ("max_execution_batch_size { value: 9 }", ["max_execution_batch_size"]),
    ],
)
def test_what_changes_nothing_is_said(text: str, lines: list[str], tmp_path: Path) -> None:
    parameters = text_proto.parse(text, BatchingParameters, "file")
    assert [line.split()[0] for line in without_meaning(parameters)] == lines


def test_versions_own_file_counts_where_there_is_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert in_version(tmp_path, LIKE) is LIKE
    file = tmp_path / FILE_NAME
    file.write_text("max_batch_size { value: 8 } num_batch_threads { value: 2 }")
    with caplog.at_level(logging.INFO):
        assert in_version(tmp_path, LIKE).max_batch_rows == 8
    assert caplog.text.count(f"{file}: num_batch_threads") == 1
    file.write_text("max_batch_size: 8")
    with pytest.raises(SettingsError, match=rf"^{file}:1:17: in max_batch_size: "):
        in_version(tmp_path, LIKE)
