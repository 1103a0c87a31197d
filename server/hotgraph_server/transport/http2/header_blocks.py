"""Header blocks (HPACK, RFC 7541): what callers ask for, and how answers begin and end. Pure.

Reading. Callers send the same headers again and again, and HPACK then sends the same few bytes: such a block
is decoded once (hpack_decoder.py) and found in a dictionary from then on. That holds as long as the decoder's
dynamic table stays as it is, so each block that changes the table empties the dictionary.

Writing. All answers begin and end alike. The first one of a connection lets the peer remember the three
fields that recur, and every later answer names them by their index, one byte each. A peer that wants a
smaller table than the default gets literals.
"""

from __future__ import annotations

import base64
import functools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from hotgraph_server.transport.http2.field_rules import content_length, request_fault, trailers_fault
from hotgraph_server.transport.http2.hpack_decoder import FieldDecoder

MAX_HEADER_LIST_BYTES = 16 * 1024
"""What grpc's own servers take. A call whose headers are longer is refused, and no other call is."""

HARD_HEADER_LIST_BYTES = 4 * MAX_HEADER_LIST_BYTES
"""So much is decoded, so that both ends go on with the same table; more ends the connection."""

_CACHED_BLOCKS = 128
_CACHED_BLOCK_BYTES = 512

_DEFAULT_TABLE_BYTES = 4096

# Not application/grpc-web, say, which is another protocol.
_CONTENT_TYPES = re.compile(r"application/grpc(?:[+; ].*)?", re.IGNORECASE)
# gRPC over HTTP/2: TimeoutValue is at most eight digits.
_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
_UNIT_S = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


@dataclass(frozen=True)
class Head:
    """What a request's headers say of the call.

    Attributes:
        path: ``/SERVICE/METHOD``.
        timeout_s: until its deadline, from now; infinite if the caller set none.
        encoding: how messages that say they are compressed are compressed.
        http_status: other than 200: this is no gRPC call, and how it is refused.
        fields: all headers by name.
        too_large: the size of the headers, bytes, where that is more than a call may have; else 0.
        fault: why it is no request, or no trailers (field_rules.py); empty: it is.
        length: bytes of content that it promises; None: it does not say.
    """

    path: str
    timeout_s: float
    encoding: str
    http_status: int = 200
    fields: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    too_large: int = 0
    fault: str = ""
    length: int | None = None


class HeaderReader:
    """Decodes the blocks of one connection, in their order.

    Args:
        max_list_bytes: of a call's fields: names, values and 32 for each; at most HARD_HEADER_LIST_BYTES.

    Attributes:
        changed: did the last block change the table?
    """

    def __init__(self, max_list_bytes: int = MAX_HEADER_LIST_BYTES) -> None:
        self.changed = False
        self._max_list_bytes = max_list_bytes
        self._decoder = FieldDecoder(HARD_HEADER_LIST_BYTES)
        self._known: dict[bytes, Head] = {}

    def read(self, block: bytes, *, trailers: bool = False) -> Head:
        """The head that a block holds; of trailers only the fault means something.

        Raises:
            BadHeaders: it is none, or longer than what is read.
        """
        head = self._known.get(block) if not trailers else None
        if head is not None:
            self.changed = False
            return head
        fields = self._decoder.decode(block)
        fault = self._decoder.fault or (trailers_fault if trailers else request_fault)(fields)
        head = Head("", math.inf, "", fault=fault) if fault or trailers else head_of(fields)
        if self._decoder.list_bytes > self._max_list_bytes:
            head = replace(head, fields={}, too_large=self._decoder.list_bytes)
        changed = self.changed = self._decoder.changed
        if changed or len(self._known) >= _CACHED_BLOCKS:
            self._known.clear()
        if not changed and not trailers and len(block) <= _CACHED_BLOCK_BYTES:
            self._known[block] = head
        return head


def head_of(headers: Sequence[tuple[str, str]]) -> Head:
    """A request's fields as a Head. A field that comes twice counts as it came last."""
    fields = dict(headers)
    content_type = fields.get("content-type", "")
    if fields.get(":method", "POST") != "POST":
        status = 405
    elif content_type != "application/grpc" and not _CONTENT_TYPES.fullmatch(content_type):
        status = 415
    else:
        status = 200
    timeout = fields.get("grpc-timeout")
    matched = _TIMEOUT.fullmatch(timeout) if timeout is not None else None
    if timeout is not None and matched is None:
        status = 400
    timeout_s = int(matched[1]) * _UNIT_S[matched[2]] if matched else math.inf
    encoding = fields.get("grpc-encoding", "identity")
    length = content_length(headers) if "content-length" in fields else None
    return Head(fields.get(":path", ""), timeout_s, encoding, status, fields, length=length)


def _string(text: bytes) -> bytes:
    if len(text) < 127:
        return bytes((len(text),)) + text
    rest, out = len(text) - 127, bytearray((127,))
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out) + text


def literal(name: str, value: str | bytes) -> bytes:
    """A field that is not added to the table."""
    text = value.encode("ascii") if isinstance(value, str) else value
    return b"\x00" + _string(name.encode("ascii")) + _string(text)


def _remembered(name: str, value: str) -> bytes:
    """A field that the peer shall add to its table."""
    return b"\x40" + literal(name, value)[1:]


# Index 8 of the static table.
_STATUS_200 = b"\x88"
_NO_TABLE = b"\x20"  # a new size of zero

_CONTENT_TYPE = ("content-type", "application/grpc")
_ACCEPTS = ("grpc-accept-encoding", "identity,deflate,gzip")
_OK = ("grpc-status", "0")

ENCODED = {"": b""} | {name: literal("grpc-encoding", name) for name in ("gzip", "deflate")}
"""What stands behind the block that begins an answer, by how its messages may be compressed."""

_ERROR_BEGIN = _STATUS_200 + literal(*_CONTENT_TYPE)
_BLOCKS_KEPT = 128

_NOT_PLAIN = re.compile(rb"[^ -$&-~]")


class HeaderWriter:
    """The blocks of the answers of one connection, in the order in which they are sent.

    Attributes:
        begin: the block before an answer's messages.
        end: the block after them, when all went well.
        due: must stand before the next block of whatever kind (RFC 7541, section 4.2); see `take_due`.
    """

    # The dynamic table's indices begin at 62, the youngest entry first.
    _BEGIN_BY_INDEX = _STATUS_200 + b"\xbf\xbe"
    _TABLE = _STATUS_200 + _remembered(*_CONTENT_TYPE) + _remembered(*_ACCEPTS)
    _PLAIN = _STATUS_200 + literal(*_CONTENT_TYPE) + literal(*_ACCEPTS)

    def __init__(self) -> None:
        self.begin = self._TABLE
        self.end = literal(*_OK)
        self.due = b""
        self._small_table = False

    def begun(self) -> None:
        """`begin` was sent: what follows can refer to it."""
        if self.begin is not self._BEGIN_BY_INDEX:
            self.begin = self._PLAIN if self._small_table else self._BEGIN_BY_INDEX

    def peer_table(self, size: int) -> None:
        """The peer's setting of its table's size has come."""
        if size < _DEFAULT_TABLE_BYTES:
            self._small_table = True
            self.begin = self._PLAIN
            self.due = _NO_TABLE

    def take_due(self) -> bytes:
        """What must stand before the block that is sent now."""
        due, self.due = self.due, b""
        return due

    @staticmethod
    @functools.lru_cache(maxsize=_BLOCKS_KEPT)
    def error(status: int, message: str, trailers: tuple[tuple[str, str], ...] = ()) -> bytes:
        """The only block of an answer that is an error (trailers only).

        A server with too much to do refuses thousands of calls a second in the same few words; so the last
        blocks are kept.
        """
        return _ERROR_BEGIN + HeaderWriter.trailers(status, message, trailers)

    @staticmethod
    def trailers(status: int, message: str, trailers: tuple[tuple[str, str], ...] = ()) -> bytes:
        """The block that ends an answer."""
        fields = [literal("grpc-status", str(status))]
        if message:
            fields.append(literal("grpc-message", percent_encoded(message)))
        fields += [literal(name, value) for name, value in trailers]
        return b"".join(fields)

    @staticmethod
    @functools.lru_cache(maxsize=8)
    def trailer(name: str, value: str | bytes) -> bytes:
        """One more field for the block that ends an answer; bytes are written in base64, as gRPC has it. The
        last ones are kept: many answers say the same."""
        return literal(name, value if isinstance(value, str) else base64.b64encode(value).rstrip(b"="))

    @staticmethod
    def http_error(status: int) -> bytes:
        """The only block of an answer to what is no gRPC call."""
        return literal(":status", str(status))


def percent_encoded(text: str) -> bytes:
    """A status text as gRPC sends it: bytes outside printable ASCII, and ``%``, as ``%XX``."""
    return _NOT_PLAIN.sub(lambda found: b"%%%02X" % found[0][0], text.encode("utf-8", "replace"))
