"""TensorFlow Serving's BatchingParameters, as settings of ours.

What they say about threads has no meaning here: a version has one executor, which takes what waits as soon
as it is free. Padding has none either: calls whose shapes differ run apart, so no answer depends on what a
neighbour's length was; who wants them together says what to pad with, in our own settings.
"""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

from hotgraph_protos.tensorflow_serving_files import BatchingParameters
from hotgraph_server import text_proto
from hotgraph_server.errors import SettingsError
from hotgraph_server.settings import BatchSettings

_LOG = logging.getLogger(__name__)

FILE_NAME = "batching_params.pbtxt"
"""In the folder of a version."""

# TensorFlow Serving's, for what a file does not say.
_MAX_BATCH_SIZE = 1000
_MAX_ENQUEUED_BATCHES = 10

# The longest wait that our settings take.
_LONGEST_WAIT_US = 10_000_000


def in_version(folder: Path, like: BatchSettings) -> BatchSettings:
    """What the file in a version's folder says; `like` where there is none.

    Raises:
        SettingsError: it cannot be read, or is wrong.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return like
    found = read(path, like)
    for line in remarks(path):
        _LOG.info("%s", line)
    return found


def read(path: Path, like: BatchSettings) -> BatchSettings:
    """The settings in a file; what it does not say is as in TensorFlow Serving, and what it cannot say as in
    `like`.

    Raises:
        SettingsError: it cannot be read, or is wrong.
    """
    parameters = text_proto.read(path, BatchingParameters)
    try:
        return settings(parameters, like)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from error


def remarks(path: Path) -> list[str]:
    """What the log says about a file that can be read: a line for each field that changes nothing here.

    Raises:
        SettingsError: it cannot be read.
    """
    return [f"{path}: {line}" for line in without_meaning(text_proto.read(path, BatchingParameters))]


def defaults(like: BatchSettings) -> BatchSettings:
    """The settings without any file."""
    return settings(BatchingParameters(), like)


def settings(parameters: Any, like: BatchSettings) -> BatchSettings:
    """BatchingParameters as settings of ours.

    TensorFlow Serving counts its queue in batches, one for each signature; here it counts in rows, for the
    model: as many as would fill them.

    Raises:
        SettingsError: a value that cannot be; the text names its field.
    """
    split = parameters.enable_large_batch_splitting.value
    rows = in_a_call = _value(parameters, "max_batch_size", _MAX_BATCH_SIZE)
    _at_least(1, "max_batch_size", rows)
    if split and parameters.HasField("max_execution_batch_size"):
        in_one_run = parameters.max_execution_batch_size.value
        if not 1 <= in_one_run <= rows:
            raise SettingsError(
                f"max_execution_batch_size must be 1 to max_batch_size ({rows}), got {in_one_run}"
            )
        rows = in_one_run
    wait_us = _value(parameters, "batch_timeout_micros", 0)
    _at_least(0, "batch_timeout_micros", wait_us)
    batches = _value(parameters, "max_enqueued_batches", _MAX_ENQUEUED_BATCHES)
    _at_least(0, "max_enqueued_batches", batches)
    _at_least(1, "num_batch_threads", _value(parameters, "num_batch_threads", 1))
    sizes = tuple(parameters.allowed_batch_sizes)
    if sizes and (sizes[-1] != rows or any(a >= b for a, b in zip((0, *sizes), sizes, strict=False))):
        raise SettingsError(
            f"allowed_batch_sizes must rise, and the last must be the largest batch ({rows}),"
            f" got {list(sizes)}"
        )
    # 0 is read as 1, as TensorFlow Serving does.
    queued_rows = max(batches, 1) * rows
    return dataclasses.replace(
        like,
        max_batch_rows=rows,
        max_call_rows=in_a_call,
        max_wait_us=min(wait_us, _LONGEST_WAIT_US),
        # The smallest call is one row.
        max_queued_calls=queued_rows,
        max_queued_rows=queued_rows,
        row_buckets=sizes,
        split=split,
    )


def without_meaning(parameters: Any) -> list[str]:
    """A line for each field that is set and changes nothing here."""
    lines = [
        f"{field} is taken and has no meaning here: each version has one executor"
        for field in ("num_batch_threads", "thread_pool_name")
        if parameters.HasField(field)
    ]
    if parameters.pad_variable_length_inputs:
        lines.append(
            "pad_variable_length_inputs is taken and has no meaning here: calls whose shapes differ run apart"
        )
    if parameters.batch_timeout_micros.value > _LONGEST_WAIT_US:
        lines.append(f"batch_timeout_micros is taken as {_LONGEST_WAIT_US}, the longest wait there is here")
    if parameters.HasField("max_execution_batch_size") and not parameters.enable_large_batch_splitting.value:
        lines.append("max_execution_batch_size has no meaning without enable_large_batch_splitting")
    return lines


def _value(parameters: Any, field: str, default: int) -> int:
    return int(getattr(parameters, field).value) if parameters.HasField(field) else default


def _at_least(least: int, field: str, value: int) -> None:
    if value < least:
        raise SettingsError(f"{field} must be at least {least}, got {value}")
