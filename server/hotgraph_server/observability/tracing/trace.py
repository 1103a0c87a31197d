"""The trace of one call, and how it is written.

Moments are nanoseconds of the monotonic clock, under Triton's names. Which moment each name means here:

    GRPC_WAITREAD_START, _END   the message is there; how long it took to come is not known, so both are one
    HTTP_RECV_START, _END       the same over HTTP
    REQUEST_START               as above: reading the message begins
    QUEUE_START                 the call is decoded and goes into its queue
    COMPUTE_START               its run begins; of several runs (in pieces, or again in parts) the first
    COMPUTE_INPUT_END           its batch is joined; of several runs the last, here and below
    COMPUTE_OUTPUT_START        the graph has run
    COMPUTE_END                 its answer is cut out
    INFER_RESPONSE_COMPLETE     the call has ended, with an answer or an error
    REQUEST_END                 as above
    GRPC_SEND_START, _END       the answer is being written; its bytes are with the transport
    HTTP_SEND_START, _END       the same over HTTP

A call that did not get far lacks the later ones.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from hotgraph_protos import tensors as wire
from hotgraph_server.call_observer import Moments, Queued
from hotgraph_server.errors import CallError
from hotgraph_server.observability.tracing.configs import TENSORS, TIMESTAMPS
from hotgraph_server.observability.tracing.samplings import Drawn
from hotgraph_server.observability.tracing.traceparent import SpanIdentity, trace_id_of
from hotgraph_server.tensors import Array
from hotgraph_server.transport.status import code_of

_ORDER = (
    *("GRPC_WAITREAD_START", "GRPC_WAITREAD_END", "HTTP_RECV_START", "HTTP_RECV_END"),
    *("REQUEST_START", "QUEUE_START"),
    *("COMPUTE_START", "COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START", "COMPUTE_END"),
    *("INFER_RESPONSE_COMPLETE", "REQUEST_END"),
    *("GRPC_SEND_START", "GRPC_SEND_END", "HTTP_SEND_START", "HTTP_SEND_END"),
)


MAX_RUNS = 128
"""Of a call of many pieces, so many are kept; as many links as a span of OpenTelemetry's may have."""

_MAX_TEXT = 300
_MAX_NAME = 1024
_MAX_PATH = 2048


class Origin(NamedTuple):
    """Where a call has come in.

    Attributes:
        method: ``/SERVICE/METHOD``; over HTTP the verb.
        route: over HTTP the path with what varies in braces; over gRPC empty.
        path: over HTTP, as sent.
        peer: see Reply.
        trace_id: that its caller's header names, as hex; empty: it names none.
    """

    method: str
    route: str = ""
    path: str = ""
    peer: str = ""
    trace_id: str = ""

    @classmethod
    def of(
        cls, method: str, peer: str, traceparent: str | None, *, route: str = "", path: str = ""
    ) -> Origin:
        """What a caller sends, kept as far as it is of use: a header may have kilobytes."""
        return cls(method, route, path[:_MAX_PATH], peer, trace_id_of(traceparent or ""))


_NOWHERE = Origin("")
_INTERNAL = (13, "INTERNAL")


class Trace:
    """One call on its way, which it observes. Threads that take the call on take its trace with it, one after
    the other.

    Attributes:
        drawn: why it goes into a file; None: it does not.
        number: its own, from 1.
        model: that the request names, cut.
        version: number of the version that was called; 0 as long as none was.
        origin: see there.
        span: that its caller, or chance, has made of it; None: none.
        signature: the names of the signatures that were called; empty as long as none was.
        rows: of the call.
        runs: that it was in, the first MAX_RUNS.
        status: what its caller was told: number and name of a gRPC status code.
        http_status: over HTTP, the same; 0 as long as there is no answer.
        text: of its error, cut; callers have a say in it.
    """

    def __init__(
        self,
        drawn: Drawn | None,
        number: int,
        model: str,
        request_id: str,
        origin: Origin = _NOWHERE,
        span: SpanIdentity | None = None,
    ) -> None:
        self.drawn = drawn
        self.number = number
        # What waits to be written or sent is counted in calls; so none may hold as much as its caller likes.
        self.model = model[:_MAX_NAME]
        self.version = 0
        self.origin = origin
        self.span = span
        self.signature = ""
        self.rows = 0
        self.runs: list[Moments] = []
        self.status = (0, "OK")
        self.http_status = 0
        self.text = ""
        self._request_id = request_id[:_MAX_NAME]
        self._holds_tensors = drawn is not None and TENSORS in drawn.level
        self._moments: dict[str, int] = {}
        self._inputs: list[tuple[str, Array]] = []
        self._outputs: list[tuple[str, str, tuple[int, ...], bytes]] = []

    @property
    def request_id(self) -> str:
        """What the request calls itself, cut; empty: nothing."""
        return self._request_id

    @property
    def trace_id(self) -> str:
        """Of the trace that it belongs to, its caller's or its own, as hex; empty: of none."""
        span = self.span
        return self.origin.trace_id if span is None else f"{span.trace_id:032x}"

    @property
    def moments(self) -> Mapping[str, int]:
        """By their names, nanoseconds of the monotonic clock."""
        return self._moments

    @property
    def nbytes(self) -> int:
        """Memory that its tensors hold."""
        inputs = sum([array.nbytes for _, array in self._inputs])
        return inputs + sum([len(raw) for _, _, _, raw in self._outputs])

    def now(self, *names: str) -> None:
        """It is the moment of these names."""
        moment = time.monotonic_ns()
        for name in names:
            self._moments[name] = moment

    def queued(self, call: Queued) -> None:
        """See CallObserver."""
        self.version = call.version
        self.rows = call.rows
        self.signature = f"{self.signature},{call.signature}" if self.signature else call.signature
        self._moments["QUEUE_START"] = _ns(call.arrived)
        if self._holds_tensors:
            # What they lie in may be used for something else once the call has ended.
            named = zip(call.names, call.inputs, strict=True)
            self._inputs = [(name, array.copy()) for name, array in named]

    def ran(self, moments: Moments) -> None:
        """See CallObserver."""
        self._moments.setdefault("COMPUTE_START", _ns(moments.started))
        self._moments["COMPUTE_INPUT_END"] = _ns(moments.joined)
        self._moments["COMPUTE_OUTPUT_START"] = _ns(moments.returned)
        self._moments["COMPUTE_END"] = _ns(moments.ended)
        if len(self.runs) < MAX_RUNS:
            self.runs.append(moments)

    def failed(self, error: BaseException) -> None:
        """The call has ended so. What is not ours is told without its text, as its caller is told."""
        if isinstance(error, CallError):
            code = code_of(error)
            self.status = code.value[0], code.name
            self.text = str(error)[:_MAX_TEXT]
        else:
            self.status = _INTERNAL

    def named(self, request_id: str) -> None:
        """See ReplyObserver."""
        self._request_id = request_id[:_MAX_NAME]

    def answered(self, names: Sequence[str], arrays: Sequence[Array]) -> None:
        """See ReplyObserver."""
        if not self._holds_tensors:
            return
        for name, array in zip(names, arrays, strict=True):
            datatype = wire.datatype_of(array.dtype)
            if datatype is not None:
                # As bytes, for strings are no memory of an array's.
                self._outputs.append((name, datatype, array.shape, wire.encode_raw(array)))

    def entries(self) -> Iterator[dict[str, Any]]:
        """Its entries in the file, in their order."""
        about = {"id": self.number, "model_name": self.model, "model_version": self.version}
        yield {**about, "request_id": self._request_id} if self._request_id else about
        if self.drawn is not None and TIMESTAMPS in self.drawn.level:
            yield {
                "id": self.number,
                "timestamps": [
                    {"name": name, "ns": self._moments[name]} for name in _ORDER if name in self._moments
                ],
            }
        for name, array in self._inputs:
            yield self._tensor("TENSOR_QUEUE_INPUT", name, wire.datatype_of(array.dtype) or "", array)
        for name, datatype, shape, raw in self._outputs:
            array = wire.decode_raw(datatype, shape, raw)
            yield self._tensor("TENSOR_BACKEND_OUTPUT", name, datatype, array)

    def _tensor(self, activity: str, name: str, datatype: str, array: Array) -> dict[str, Any]:
        tensor = {
            "name": name,
            "data": ",".join(map(_text, array.reshape(-1).tolist())),
            "shape": ",".join(map(str, array.shape)),
            "dtype": datatype,
        }
        return {"id": self.number, "activity": activity, "tensor": tensor}


def _text(value: Any) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _ns(moment: float) -> int:
    return round(moment * 1e9)
