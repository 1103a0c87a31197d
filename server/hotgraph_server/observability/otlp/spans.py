"""A trace as spans of OpenTelemetry's. Pure.

    /SERVICE/METHOD   from the message's arrival to its answer; the child of its caller's span, if it has one
        door          read, checked, and taken by a version
        queue         waits for its run
        run           its batch is joined, run, and cut apart; linked to the batch
        answer        encoded, and handed to the transport
    batch MODEL       one for each run, however many calls it had; the root of a trace of its own

Names of attributes are those of OpenTelemetry's semantic conventions where there are any (rpc.*, http.*,
url.*, client.*, error.type), else ours: hotgraph.*.

A batch belongs to the traces of all its calls, so it is in none of theirs: its ids are made of its number, so
that whoever meets it first makes the same of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from hotgraph_protos.version import __version__
from hotgraph_server.call_observer import Moments
from hotgraph_server.observability.tracing.trace import Trace

Value = str | int | float | bool

_SCOPE = InstrumentationScope("hotgraph", __version__)
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_UNSET, _ERROR = StatusCode.UNSET, StatusCode.ERROR

# By the conventions, the errors of a gRPC server that are its own and not its caller's.
_OWN_FAULTS = frozenset(
    ("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS")
)

_PHASES = (
    ("door", ("REQUEST_START",), ("QUEUE_START", "INFER_RESPONSE_COMPLETE")),
    ("queue", ("QUEUE_START",), ("COMPUTE_START", "INFER_RESPONSE_COMPLETE")),
    ("run", ("COMPUTE_START",), ("COMPUTE_END",)),
    ("answer", ("GRPC_SEND_START", "HTTP_SEND_START"), ("GRPC_SEND_END", "HTTP_SEND_END")),
)


class SpanMaker:
    """
    Args:
        resource: of all spans.
        seed: of the ids of this process's batches; random bytes.
        number: a random one of 64 bits that is not 0.
    """

    def __init__(self, resource: Resource, seed: bytes, number: Callable[[], int]) -> None:
        self._resource = resource
        self._seed = seed
        self._number = number

    def of_call(self, trace: Trace, epoch_ns: int) -> Iterator[ReadableSpan]:
        """A call's own spans; it has an identity.

        Args:
            epoch_ns: what makes a moment of the monotonic clock one of the epoch's.
        """
        identity, moments = trace.span, trace.moments
        assert identity is not None, "not sampled"
        if not moments:
            return
        state = TraceState.from_header([identity.tracestate]) if identity.tracestate else None
        context = _context(identity.trace_id, identity.span_id, state)
        parent = (
            SpanContext(identity.trace_id, identity.parent_id, True, _SAMPLED, state)
            if identity.parent_id
            else None
        )
        batches = [
            Link(self.batch(run), {"hotgraph.batch.id": run.number}) for run in trace.runs if run.number
        ]
        times = [epoch_ns + moment for moment in moments.values()]
        yield self._span(
            _name(trace),
            context,
            parent,
            (min(times), max(times)),
            _attributes(trace),
            SpanKind.SERVER,
            status=_status(trace),
        )
        for name, starts, ends in _PHASES:
            between = _between(moments, starts, ends)
            if between is None:
                continue
            yield self._span(
                name,
                _context(identity.trace_id, self._number(), state),
                context,
                (epoch_ns + between[0], epoch_ns + between[1]),
                {},
                SpanKind.INTERNAL,
                batches if name == "run" else (),
            )

    def of_batch(self, run: Moments, trace: Trace, epoch_ns: int) -> ReadableSpan:
        """A run's span, of which a call knows that was in it."""
        attributes: dict[str, Value] = {
            **_of_model(trace),
            "hotgraph.batch.id": run.number,
            "hotgraph.batch.calls": run.calls,
            "hotgraph.batch.rows": run.rows,
            "hotgraph.batch.join_seconds": run.joined - run.started,
            "hotgraph.batch.graph_seconds": run.returned - run.joined,
        }
        between = epoch_ns + round(run.started * 1e9), epoch_ns + round(run.ended * 1e9)
        name = f"batch {trace.model}"
        return self._span(name, self.batch(run), None, between, attributes, SpanKind.INTERNAL)

    def batch(self, run: Moments) -> SpanContext:
        """The identity of a run's span."""
        digest = hashlib.blake2b(self._seed + run.number.to_bytes(8, "big"), digest_size=24).digest()
        # Neither may be 0, which one in 2**64 would be.
        return _context(
            int.from_bytes(digest[:16], "big") or 1, int.from_bytes(digest[16:], "big") or 1, None
        )

    def _span(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        between: tuple[int, int],
        attributes: Mapping[str, Value],
        kind: SpanKind,
        links: list[Link] | tuple[()] = (),
        status: Status | None = None,
    ) -> ReadableSpan:
        start, end = between
        return ReadableSpan(
            _text(name),
            context=context,
            parent=parent,
            resource=self._resource,
            attributes={key: _sent(value) for key, value in attributes.items()},
            links=links,
            kind=kind,
            status=status or Status(_UNSET),
            start_time=start,
            # What is measured by two threads may be off by the rounding of a float.
            end_time=max(start, end),
            instrumentation_scope=_SCOPE,
        )


def _sent(value: Value) -> Value:
    return _text(value) if isinstance(value, str) else value


def _text(text: str) -> str:
    """As protobuf takes it. JSON can bring half of a character, with which no span of the export would go."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _context(trace_id: int, span_id: int, state: TraceState | None) -> SpanContext:
    return SpanContext(trace_id, span_id, False, _SAMPLED, state)


def _between(
    moments: Mapping[str, int], starts: tuple[str, ...], ends: tuple[str, ...]
) -> tuple[int, int] | None:
    start = next((moments[name] for name in starts if name in moments), None)
    if start is None:
        return None
    end = next((moments[name] for name in ends if name in moments), max(moments.values()))
    return start, end


def _name(trace: Trace) -> str:
    origin = trace.origin
    return f"{origin.method} {origin.route}" if origin.route else origin.method.removeprefix("/")


def _status(trace: Trace) -> Status:
    _, code = trace.status
    is_own = trace.http_status >= 500 if trace.origin.route else code in _OWN_FAULTS
    return Status(_ERROR, _text(trace.text or code)) if is_own else Status(_UNSET)


def _of_model(trace: Trace) -> dict[str, Value]:
    found: dict[str, Value] = {"hotgraph.model.name": trace.model}
    if trace.version:
        found["hotgraph.model.version"] = trace.version
    if trace.signature:
        found["hotgraph.signature"] = trace.signature
    return found


def _attributes(trace: Trace) -> dict[str, Value]:
    origin, (number, code) = trace.origin, trace.status
    found = _of_model(trace)
    if trace.rows:
        found["hotgraph.rows"] = trace.rows
    if trace.request_id:
        found["hotgraph.request.id"] = trace.request_id
    if trace.runs:
        found["hotgraph.batch.id"] = trace.runs[-1].number
    found |= _of_http(trace) if origin.route else _of_grpc(origin.method, number)
    if number:
        found["error.type"] = str(trace.http_status) if origin.route and trace.http_status else code
    found |= _client(origin.peer)
    return found


def _of_grpc(method: str, number: int) -> dict[str, Value]:
    service, _, name = method.removeprefix("/").partition("/")
    return {
        "rpc.system": "grpc",
        "rpc.service": service,
        "rpc.method": name,
        "rpc.grpc.status_code": number,
    }


def _of_http(trace: Trace) -> dict[str, Value]:
    origin = trace.origin
    found: dict[str, Value] = {
        "http.request.method": origin.method,
        "http.route": origin.route,
        "url.path": origin.path,
        "network.protocol.version": "1.1",
    }
    if trace.http_status:
        found["http.response.status_code"] = trace.http_status
    return found


def _client(peer: str) -> dict[str, Value]:
    # grpc writes ipv4:HOST:PORT, ipv6:[HOST]:PORT, and both in percent-encoding.
    text = peer.removeprefix("ipv4:").removeprefix("ipv6:").replace("%5B", "[").replace("%5D", "]")
    host, separator, port = text.rpartition(":")
    if not separator or not (port.isascii() and port.isdecimal()):
        return {"client.address": peer} if peer else {}
    return {"client.address": host.strip("[]"), "client.port": int(port)}
