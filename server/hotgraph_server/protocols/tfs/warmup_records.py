"""Warm-up files as TensorFlow Serving reads them: what a SavedModel brings to be warmed up with.

The file is a TFRecord of PredictionLog messages, of which only the requests count. The model and version that
they name do not. What TensorFlow Serving refuses to load a model for is refused here too: a file that is no
TFRecord, a record that is no PredictionLog or of a kind that cannot be run, more than MAX_RECORDS, and a call
that fails.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from hotgraph_server.errors import CallError, LoadError, Unsupported
from hotgraph_server.protocols.tfs import examples, model_spec, predict_rules
from hotgraph_server.protocols.tfs.inference import CLASSIFY, REGRESS, Kind, Task, named_task
from hotgraph_server.protocols.tfs.multi_inference import tasks_of
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import Array
from hotgraph_server.warmup.warmup_calls import WarmupCall, WarmupSource

FILE = Path("assets.extra", "tf_serving_warmup_requests")
"""Where it is in a SavedModel's folder."""

MAX_RECORDS = 1000

# Its length, and the sums of the length and of itself.
_AROUND_A_RECORD = 8 + 4 + 4


def records_in(directory: Path) -> WarmupSource:
    """What the SavedModel in `directory` brings; nothing if it has no such file."""
    return functools.partial(_brought, directory / FILE)


def read_records(path: Path) -> Iterator[bytes]:
    """The records of a TFRecord file.

    Raises:
        LoadError: the file cannot be read, or is none.
    """
    # TensorFlow's own reader checks the sums of every record, at a speed that Python has not.
    import tensorflow as tf
    from tensorflow.python.lib.io.tf_record import tf_record_iterator

    read = 0
    try:
        for record in tf_record_iterator(str(path)):
            read += _AROUND_A_RECORD + len(record)
            yield record
    except tf.errors.DataLossError as error:
        raise _no_tfrecord(path, error.message) from error
    except tf.errors.OpError as error:
        raise LoadError(str(path), error.message) from error
    # It takes a record that is cut off for the end of the file.
    if read != path.stat().st_size:
        raise _no_tfrecord(path, f"truncated record at {read}")


def calls_of(
    record: bytes, what: str, signatures: Mapping[str, Signature], unusable: Mapping[str, str]
) -> list[WarmupCall]:
    """The calls of one record: none where it is empty, one for each task of a MultiInference.

    Args:
        record: a PredictionLog.
        what: names it in errors.
        signatures: those of the version that can be called, by name.
        unusable: why the others cannot be called, by name.

    Raises:
        CallError: its call would be refused.
        DecodeError: it is no PredictionLog.
    """
    log = prediction_log_pb2.PredictionLog.FromString(record)
    kind = log.WhichOneof("log_type")
    if kind is None:
        return []
    read = _READERS.get(kind)
    if read is None:
        number = log.DESCRIPTOR.fields_by_name[kind].number
        raise Unsupported(f"Unsupported log_type for warmup: {number} ({kind})")
    name = kind.removesuffix("_log")
    return [
        WarmupCall(name, what, signature, inputs, outputs, check)
        for signature, inputs, outputs, check in read(getattr(log, kind).request, signatures, unusable)
    ]


def _brought(
    path: Path, signatures: Mapping[str, Signature], unusable: Mapping[str, str]
) -> Iterator[WarmupCall]:
    try:
        if not path.exists():
            return
    except OSError as error:
        raise LoadError(str(path), error.strerror or str(error)) from error
    for number, record in enumerate(read_records(path), 1):
        if number > MAX_RECORDS:
            raise LoadError(
                str(path),
                f"INVALID_ARGUMENT: Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {path}",
            )
        what = f"record {number} of {path}"
        try:
            yield from calls_of(record, what, signatures, unusable)
        except DecodeError as error:
            raise LoadError(
                str(path), f"INVALID_ARGUMENT: Failed to parse warmup record: record {number}: {error}"
            ) from error
        except CallError as error:
            raise LoadError(str(path), f"record {number}: {error.status.name}: {error}") from error


def _no_tfrecord(path: Path, why: str) -> LoadError:
    return LoadError(str(path), f"DATA_LOSS: {why}. Please verify your warmup data is in TFRecord format.")


_Read = tuple[Signature, Sequence[Array], tuple[str, ...], Callable[[Sequence[Array]], object]]
_Reader = Callable[[Any, Mapping[str, Signature], Mapping[str, str]], list[_Read]]


def _read_predict(
    request: Any, signatures: Mapping[str, Signature], unusable: Mapping[str, str]
) -> list[_Read]:
    signature = predict_rules.signature_of(signatures, unusable, request.model_spec.signature_name)
    inputs = predict_rules.inputs_of(request, {}, signature)
    return [(signature, inputs, predict_rules.outputs_of(request.output_filter, signature), len)]


def _read_examples(
    kind: Kind, request: Any, signatures: Mapping[str, Signature], unusable: Mapping[str, str]
) -> list[_Read]:
    name = model_spec.signature_name(request.model_spec)
    task = named_task(kind, name, signatures, unusable, check_method_name=False)
    raw = examples.read_request(request.SerializeToString(), kind.request)
    return [_task(task, examples.examples_of(raw.input))]


def _read_multi_inference(
    request: Any, signatures: Mapping[str, Signature], unusable: Mapping[str, str]
) -> list[_Read]:
    raw = examples.read_multi_inference(request.SerializeToString())
    tasks = tasks_of(raw, signatures, check_method_names=False)
    inputs = examples.examples_of(raw.input)
    return [_task(task, inputs) for task in tasks]


def _task(task: Task, inputs: Array) -> _Read:
    kind, signature, outputs = task

    def check(arrays: Sequence[Array]) -> bytes:
        return kind.encode_result(outputs, arrays, len(inputs))

    return signature, [inputs], outputs, check


# The others, session_run_log and predict_streamed_log, TensorFlow Serving does not run either.
_READERS: dict[str, _Reader] = {
    "predict_log": _read_predict,
    "classify_log": functools.partial(_read_examples, CLASSIFY),
    "regress_log": functools.partial(_read_examples, REGRESS),
    "multi_inference_log": _read_multi_inference,
}
