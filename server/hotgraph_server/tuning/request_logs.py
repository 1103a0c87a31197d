"""The pace and the sizes of calls, from a request log that was written while a server answered.

Records have whole seconds and are a sample, so calls are spread over their seconds, and their rate is what
it was divided by the share that was written down. A log without times (TensorFlow Serving's own has none)
tells of sizes alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from google.protobuf.message import DecodeError

from hotgraph_server.errors import CallError, LoadError
from hotgraph_server.observability.request_log.records import stamp_of
from hotgraph_server.protocols.tfs.warmup_records import calls_of, read_records
from hotgraph_server.signatures import Signature
from hotgraph_server.transport.message_fields import MalformedMessage

MOST_RECORDS = 100_000
"""A log is read so far."""


class Logged(NamedTuple):
    """What a log tells of the calls of one signature.

    Attributes:
        stamps: seconds since 1970, of each call; 0: it does not say.
        rows: of each.
        sampling_rate: the share of calls that was written down.
    """

    stamps: list[int]
    rows: list[int]
    sampling_rate: float


def read_log(path: Path, signature: Signature, signatures: Mapping[str, Signature]) -> Logged:
    """The calls of a signature in a log.

    Args:
        path: of a TFRecord file of PredictionLog messages.
        signatures: of the version, by name.

    Raises:
        LoadError: it cannot be read, or has no call of this signature.
    """
    found = Logged([], [], 1.0)
    rate = 1.0
    for number, record in enumerate(islice(read_records(path), MOST_RECORDS), 1):
        what = f"record {number} of {path}"
        try:
            calls = calls_of(record, what, signatures, {})
            stamp, rate = stamp_of(record)
        except (DecodeError, MalformedMessage, CallError) as error:
            raise LoadError(str(path), f"record {number} is no call of this model: {error}") from error
        for call in calls:
            if call.signature.name == signature.name:
                found.stamps.append(stamp)
                found.rows.append(max((len(array) for array in call.inputs if array.ndim), default=1))
    if not found.rows:
        raise LoadError(str(path), f"it has no call of signature {signature.name!r}")
    return found._replace(sampling_rate=rate)
