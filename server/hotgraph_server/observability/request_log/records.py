"""A call and its answer as one PredictionLog, put together from their bytes. Pure.

Nothing is parsed but what has to be known: whose call it was. So a record of 5 MB costs a copy, and the
messages' classes are not needed.
"""

from __future__ import annotations

import struct

from hotgraph_server.transport.message_fields import (
    MalformedMessage,
    Message,
    Span,
    fields,
    header,
    read_varint,
    values_of,
    varint,
)

# Field numbers of tensorflow.serving.PredictionLog, by the method that was called.
_LOGS = {"Classify": 2, "Regress": 3, "MultiInference": 4, "Predict": 6}
METHODS = frozenset(_LOGS)
"""Methods of the PredictionService whose calls have a record."""

# PredictionLog.log_metadata, and in the log of each kind the request and its response.
_METADATA, _REQUEST, _RESPONSE = 1, 1, 2
# LogMetadata's fields, and SamplingConfig.sampling_rate, a double, with its key.
_SPEC, _SAMPLING, _TIMESTAMP = 1, 2, 4
_RATE_KEY = b"\x09"
# ModelSpec is field 1 of every request (of each of its tasks, for MultiInference), and field 2 of every
# response (field 1 of each of its results); a spec's name is its field 1.
_NAME = 1


def model_name(method: str, message: Message) -> str | None:
    """The model that a request names; None: none can be found in it."""
    view = memoryview(message)
    try:
        spec = _last(view, [1, 1] if method == "MultiInference" else [1])
        names = values_of(view, _NAME, spec) if spec else []
        return str(view[names[-1].at : names[-1].end], "utf-8") if names else None
    except (MalformedMessage, UnicodeDecodeError):
        return None


def prediction_log(
    method: str, request: bytes, response: bytes, sampling_rate: float, timestamp_s: int
) -> bytes:
    """The bytes of a PredictionLog.

    Args:
        method: one of METHODS.
        request: as it came in.
        response: as it went out; its ModelSpec, which has the version that answered, is the record's.
        sampling_rate: of the model's log, 0 to 1.
        timestamp_s: seconds since 1970.
    """
    view = memoryview(response)
    spec = _last(view, [1, 1] if method == "MultiInference" else [2])
    metadata = b"".join(
        (
            _field(_SPEC, view[spec.at : spec.end]) if spec else b"",
            _field(_SAMPLING, _RATE_KEY + struct.pack("<d", sampling_rate)),
            varint(_TIMESTAMP << 3) + varint(timestamp_s),
        )
    )
    log = (header(_REQUEST, len(request)), request, header(_RESPONSE, len(response)), response)
    return b"".join(
        (_field(_METADATA, metadata), header(_LOGS[method], sum(len(part) for part in log)), *log)
    )


def stamp_of(record: Message) -> tuple[int, float]:
    """When a record was written, seconds since 1970 (0: it does not say), and which share of all calls had
    one (1.0 where it does not say).

    Raises:
        MalformedMessage: it is no PredictionLog.
    """
    view = memoryview(record)
    timestamp_s, rate = 0, 1.0
    for span in values_of(view, _METADATA):
        metadata = view[span.at : span.end]
        for number, wire_type, _, value, _ in fields(metadata):
            if (number, wire_type) == (_TIMESTAMP, 0):
                timestamp_s, _ = read_varint(metadata, value)
        for sampling in values_of(metadata, _SAMPLING):
            config = bytes(metadata[sampling.at : sampling.end])
            if len(config) >= 9 and config[:1] == _RATE_KEY:
                (rate,) = struct.unpack("<d", config[1:9])
    return timestamp_s, rate if 0.0 < rate <= 1.0 else 1.0


def _field(number: int, value: bytes | memoryview) -> bytes:
    return header(number, len(value)) + value


def _last(view: memoryview, path: list[int]) -> Span | None:
    """The nested message at a path of field numbers; of several the last one, which is what counts.

    Raises:
        MalformedMessage: there is none that could be read.
    """
    found: Span | None = None
    for number in path:
        values = values_of(view, number, found)
        if not values:
            return None
        found = values[-1]
    return found
