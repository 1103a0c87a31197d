"""The parts of a run that speak to the server's ports in bytes: HTTP/2 and REST. What becomes of each case is
judged here."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import unquote

import hpack

from fuzzing import calls
from fuzzing.campaign import BLOCK, Case, Judged
from fuzzing.exchange import CLOSE_S, Said, exchange
from fuzzing.http2_cases import PING, Http2Cases
from fuzzing.models import GOOD
from fuzzing.rest_cases import RestCases
from fuzzing.sending import Outcome, Sender
from fuzzing.verdict import fault, fault_of_rest
from hotgraph_protos import open_inference as pb
from hotgraph_server.transport.http2 import frames
from hotgraph_server.transport.http2.frames import Code

# The PING's answer comes at once; where a frame has swallowed it, none does.
_HTTP2_PATIENCE_S, _HTTP2_LINGER_S = 0.1, 0.005
# For an answer that must come, and for one that a spoiled head may have made impossible.
_REST_PATIENCE_S, _SPOILED_PATIENCE_S = 30.0, 0.1

_PONG = frames.frame(frames.PING, frames.ACK, 0, PING)
_STATUSES = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE"),
    *("UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)
_RESPONSE = re.compile(rb"HTTP/1\.1 ([0-9]{3}) [^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n")
_LENGTH = re.compile(rb"^content-length: ([0-9]+)\r$", re.IGNORECASE | re.MULTILINE)

_GOOD_BODY = b'{"inputs": {"a": [[0, 1, 2]], "b": [[1, 2, 3]]}}'
_GOOD_REQUEST = b"POST /v1/models/good:predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (
    len(_GOOD_BODY),
    _GOOD_BODY,
)
_GOOD_ANSWER = {"outputs": {"sum": [[1.0, 3.0, 5.0]], "product": [[0, 2, 6]]}}


class Http2Part:
    """Cases of http2_cases.py; not all of their streams' messages are mutated, which the others see to.

    Attributes:
        statuses: of the streams that were answered or reset; by one thread at a time.
    """

    name = "http2"

    def __init__(self, address: str, seed: int) -> None:
        self._address = address
        self._cases = Http2Cases(http2_calls(), seed)
        self.statuses: Counter[str] = Counter()

    def judged(self, _: Sender, number: int) -> Judged:
        """Send a block of cases."""
        return [self.judge(number * BLOCK + each) for each in range(BLOCK)]

    def judge(self, number: int) -> tuple[Case, Outcome, str | None]:
        """Send one case."""
        pieces = self._cases.case(number)
        case = Case(f"{self.name}:{number}", "HTTP/2", b"".join(pieces))
        try:
            said = exchange(
                self._address, pieces, lambda data: _PONG in data, _HTTP2_PATIENCE_S, _HTTP2_LINGER_S
            )
        except OSError as error:
            return case, Outcome("no connection", str(error), 0.0), f"no connection: {error}"
        outcome, wrong, statuses = judge_http2(said)
        self.statuses.update(statuses)
        return case, outcome, wrong


class RestPart:
    """Cases of rest_cases.py."""

    name = "rest"

    def __init__(self, address: str, seed: int) -> None:
        self._address = address
        self._cases = RestCases(seed)
        self.statuses: Counter[str] = Counter()

    def judged(self, _: Sender, number: int) -> Judged:
        """Send a block of cases, and then the call that always works."""
        judged = [self.judge(number * BLOCK + each) for each in range(BLOCK)]
        said = exchange(self._address, [_GOOD_REQUEST], is_response, _REST_PATIENCE_S, 0.0)
        found = _response(said.data)
        if found is None or found[0] != 200 or json.loads(found[1]) != _GOOD_ANSWER:
            case, outcome, wrong = judged[-1]
            judged[-1] = case, outcome, wrong or f"after it: a good call: {said.data[:300]!r}"
        return judged

    def judge(self, number: int) -> tuple[Case, Outcome, str | None]:
        """Send one case."""
        pieces, must_answer = self._cases.case(number)
        case = Case(f"{self.name}:{number}", "REST", b"".join(pieces))
        patience_s = _REST_PATIENCE_S if must_answer else _SPOILED_PATIENCE_S
        try:
            said = exchange(self._address, pieces, is_response, patience_s, 0.0)
        except OSError as error:
            return case, Outcome("no connection", str(error), 0.0), f"no connection: {error}"
        return case, *judge_rest(said, must_answer, to_head=b"HEAD " in case.message)


def http2_calls() -> list[tuple[str, bytes]]:
    """What the conversations are of: methods and messages, nothing wrong with them."""
    good = calls.good_call().SerializeToString()
    return [
        (calls.V2 + "ModelInfer", good),
        (calls.V2 + "ModelInfer", good),
        (calls.V2 + "ModelStreamInfer", good),
        (calls.V2 + "ServerLive", b""),
        (calls.V2 + "ModelMetadata", pb.ModelMetadataRequest(name=GOOD).SerializeToString()),
        ("/grpc.health.v1.Health/Check", b""),
        ("/grpc.health.v1.Health/Watch", b""),
    ]


def judge_http2(said: Said) -> tuple[Outcome, str | None, list[str]]:
    """How a connection ended, what is wrong with that, and the statuses of its streams. Pure."""
    how, text, wrong, statuses = "answered", "", None, []
    if _PONG not in said.data:
        how = "closed" if said.closed and said.waited_s < _HTTP2_PATIENCE_S else "unfinished"
    # What does not begin as HTTP/2 does is answered in the other version.
    is_other = said.data.startswith(b"HTTP/1.1 4") and b"\r\n\r\n{" in said.data
    try:
        for kind, status, details in () if is_other else _answers(said.data):
            if kind == frames.GOAWAY:
                how, text = f"GOAWAY {status}", details
            else:
                statuses.append(status)
            wrong = wrong or _fault_of(status, details, said.waited_s)
    except (ValueError, IndexError, hpack.HPACKError) as error:
        wrong = f"what the server says is no HTTP/2: {type(error).__name__}: {error}"
    if is_other:
        how = "refused in HTTP/1.1"
    if not said.closed:
        wrong = wrong or f"the connection is still there {CLOSE_S:g} s after its caller has left"
    return Outcome(how, text, said.waited_s), wrong, statuses


def _fault_of(status: str, details: str, waited_s: float) -> str | None:
    if status in _STATUSES:
        # A deadline that the caller itself has made short is no fault.
        return fault(status, details, GOOD, waited_s, CLOSE_S)
    return f"{status}: {details}" if status.endswith("INTERNAL_ERROR") else None


def _answers(data: bytes) -> Iterator[tuple[int, str, str]]:
    """GOAWAY, RST_STREAM and the headers with a status, in their order: kind, status and details.

    Raises:
        ValueError, HPACKError: that is no HTTP/2.
    """
    decoder = hpack.Decoder()
    at = 0
    while at + frames.HEADER_BYTES <= len(data):
        word, flags, number = frames.FRAME_HEADER.unpack_from(data, at)
        length, kind = word >> 8, word & 0xFF
        payload = data[at + frames.HEADER_BYTES : at + frames.HEADER_BYTES + length]
        if length > frames.MIN_FRAME_BYTES or kind > frames.WINDOW_UPDATE:
            raise ValueError(f"a frame of type {kind} with {length} bytes")
        if len(payload) < length:
            return
        at += frames.HEADER_BYTES + length
        if kind == frames.GOAWAY:
            yield kind, Code(int.from_bytes(payload[4:8], "big")).name, payload[8:].decode()
        elif kind == frames.RST_STREAM:
            yield kind, f"RST_STREAM {Code(int.from_bytes(payload, 'big')).name}", f"stream {number}"
        elif kind == frames.HEADERS:
            if not flags & frames.END_HEADERS:
                raise ValueError("a block in several frames, of which we need none")
            fields: dict[Any, Any] = dict(decoder.decode(payload))
            if "grpc-status" in fields:
                yield kind, _STATUSES[int(fields["grpc-status"])], unquote(fields.get("grpc-message", ""))
            elif fields.get(":status") != "200":
                yield kind, f"HTTP {fields.get(':status')}", ""


def is_response(data: bytes | bytearray) -> bool:
    """Does it hold a whole response, as our server writes them?"""
    return _response(bytes(data)) is not None


def _response(data: bytes) -> tuple[int, bytes] | None:
    head = _RESPONSE.match(data)
    while head is not None and head[1].startswith(b"1"):
        data = data[head.end() :]
        head = _RESPONSE.match(data)
    if head is None:
        return None
    length = _LENGTH.search(head[2])
    end = head.end() + int(length[1]) if length is not None else head.end()
    return (int(head[1]), data[head.end() : end]) if len(data) >= end else None


def judge_rest(said: Said, must_answer: bool, *, to_head: bool = False) -> tuple[Outcome, str | None]:
    """What became of a request, and what is wrong with that. Pure.

    Args:
        to_head: it may be a HEAD, which is answered without the body whose length is told.
    """
    found = _response(said.data)
    if found is None:
        # To HEAD a body is announced and none sent.
        how = "cut" if said.data else "closed" if said.closed else "silent"
        wrong = f"no answer: {said.data[:200]!r}" if must_answer else None
    else:
        status, body = found
        how, wrong = str(status), None if to_head else fault_of_rest(status, error_of(body))
    if not said.closed:
        wrong = wrong or f"the connection is still there {CLOSE_S:g} s after its caller has left"
    return Outcome(how, said.data[:2000].decode(errors="replace"), said.waited_s), wrong


def error_of(body: bytes) -> str | None:
    """The error that a response tells, in TensorFlow Serving's form; None: it has another."""
    try:
        told = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return None
    return told if isinstance(told, str) else None


EDGES: Sequence[str] = (Http2Part.name, RestPart.name)
