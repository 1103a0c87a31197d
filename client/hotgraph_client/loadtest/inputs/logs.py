"""Calls out of warm-up files and request logs: TFRecords of PredictionLog.

Only Predict's calls can be sent again; of what else such files may hold it is said how much was left out. A
log has the second of each call at best. So the calls of one second are spread evenly over it, in their order:
what was closer together than that nobody can say any more.

Where records name several models (a shared prefix), those of the one that is called are taken; a warm-up file
names its own, whatever it is called. A record of another signature than the one that is called is left out.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from google.protobuf.message import DecodeError

from hotgraph_protos import tensorflow_serving_calls as tfs
from hotgraph_protos.tensors import Array

from ..dialects.description import Description, listed
from ..dialects.tensor_proto import array_of
from .fitting import fitted
from .items import InputError, InputSet, Item
from .tfrecord import read_records

_KINDS = {
    "classify_log": "Classify",
    "regress_log": "Regress",
    "multi_inference_log": "MultiInference",
    "session_run_log": "SessionRun",
    "predict_streamed_log": "PredictStreamed",
}

# Of calls: each takes a little memory even where it is like another.
_MOST_CALLS = 2_000_000


@dataclass(frozen=True)
class _Call:
    model: str
    item: Item
    second: int


def read_log(
    paths: Sequence[Path], description: Description, source: str, max_bytes: int, *, answers: bool
) -> InputSet:
    """The Predict calls of files, as one log.

    Args:
        paths: in the order of their records.
        max_bytes: of distinct inputs (and answers); what comes later is left out, and a note says so.
        answers: keep the answers of the log as what is expected.

    Raises:
        InputError: a file or record is broken, a call is none that the model takes, or there is none left.
    """
    reading = _Reading(description, max_bytes, answers=answers)
    calls = list(reading.calls(paths))
    of_model = [call for call in calls if call.model == description.model]
    chosen = of_model or calls
    if not of_model and len({call.model for call in calls}) > 1:
        names = ", ".join(sorted({call.model for call in calls})[:10])
        raise InputError(
            f"{source}: its calls are of several models ({names}), none of '{description.model}'"
        )
    notes = list(reading.notes())
    if len(chosen) < len(calls):
        notes.append(f"{source}: {len(calls) - len(chosen)} calls of other models were left out")
    if not chosen:
        raise InputError(f"{source}: no Predict call of '{description.model}' to send" + _because(notes))
    items = _timed(chosen)
    return InputSet(tuple(items), f"{source} ({len(items)} calls)", None, tuple(notes))


class _Reading:
    """Reads records, and counts what is left out."""

    def __init__(self, description: Description, max_bytes: int, *, answers: bool) -> None:
        self._description = description
        self._max_bytes = max_bytes
        self._answers = answers
        self._known: dict[bytes, Mapping[str, Array]] = {}
        self._nbytes = 0
        self._left_out: Counter[str] = Counter()
        self._full = ""

    def calls(self, paths: Sequence[Path]) -> Iterator[_Call]:
        """Raises InputError."""
        count = 0
        for path in paths:
            for number, record in enumerate(read_records(path), 1):
                call = self._call(record, f"record {number} of {path}")
                if self._full:
                    return
                if call is not None:
                    yield call
                    count += 1
                if count >= _MOST_CALLS:
                    self._full = f"read up to call {_MOST_CALLS}"
                    return

    def notes(self) -> Iterator[str]:
        """What was left out, and why."""
        for what, count in sorted(self._left_out.items()):
            yield f"{count} {what} left out"
        if self._full:
            yield f"the log was {self._full}: allow more with --input-mb, or give less of it"

    def _call(self, record: bytes, where: str) -> _Call | None:
        try:
            log = tfs.PredictionLog.FromString(record)
        except DecodeError as error:
            raise InputError(f"{where}: it is no PredictionLog: {error}") from None
        kind = log.WhichOneof("log_type")
        if kind != "predict_log":
            name = _KINDS.get(kind or "", "no")
            self._left_out[f"records of {name} calls (only Predict's can be sent)"] += 1
            return None
        request = log.predict_log.request
        model = request.model_spec.name
        signature = request.model_spec.signature_name
        if signature and signature != self._description.signature and self._description.signature:
            self._left_out[f"calls of signature '{signature}' (see --signature)"] += 1
            return None
        try:
            inputs = self._inputs(request, where)
        except InputError:
            if model == self._description.model or not model:
                raise
            # several models may share a log
            self._left_out[f"calls of '{model}', which '{self._description.model}' does not take"] += 1
            return None
        expected = self._expected(log.predict_log.response, where) if self._answers else None
        if self._nbytes > self._max_bytes:
            self._full = f"read up to {where}, since its inputs take {self._max_bytes >> 20} MiB"
            return None
        item = Item(inputs, self._description.rows_of(inputs), expected)
        return _Call(model, item, max(log.log_metadata.timestamp_secs, 0))

    def _inputs(self, request: tfs.PredictRequest, where: str) -> Mapping[str, Array]:
        request.ClearField("model_spec")
        key = hashlib.blake2b(request.SerializeToString(deterministic=True), digest_size=16).digest()
        known = self._known.get(key)
        if known is not None:
            return known
        inputs: dict[str, Array] = {}
        for name in sorted(request.inputs):
            tensor = self._description.input(name)
            if tensor is None:
                known_inputs = listed(self._description.inputs)
                raise InputError(f"{where}: the model has no input '{name}'; its inputs are {known_inputs}")
            inputs[name] = fitted(
                _array(request.inputs[name], f"{where}: '{name}'"), tensor, f"{where}: '{name}'"
            )
        item = Item(inputs, 1)
        self._nbytes += item.nbytes
        self._known[key] = inputs
        return inputs

    def _expected(self, response: tfs.PredictResponse, where: str) -> Mapping[str, Array] | None:
        outputs = {
            name: _array(response.outputs[name], f"{where}: output '{name}'") for name in response.outputs
        }
        self._nbytes += Item(outputs, 1).nbytes
        return outputs or None


def _array(proto: tfs.TensorProto, where: str) -> Array:
    try:
        return array_of(proto)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None


def _timed(calls: Sequence[_Call]) -> list[Item]:
    """The items in the order of their calls, with moments where every record has its second."""
    if not all(call.second for call in calls):
        return [call.item for call in calls]
    ordered = sorted(calls, key=lambda call: call.second)
    in_second = Counter(call.second for call in ordered)
    begin = ordered[0].second
    seen: Counter[int] = Counter()
    items = []
    for call in ordered:
        at_s = call.second - begin + seen[call.second] / in_second[call.second]
        seen[call.second] += 1
        items.append(replace(call.item, at_s=at_s))
    return items


def _because(notes: Sequence[str]) -> str:
    return f": {'; '.join(notes)}" if notes else ""
