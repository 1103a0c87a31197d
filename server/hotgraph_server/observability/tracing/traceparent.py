"""W3C Trace Context: what a caller's headers say of the trace that its call belongs to. Pure.

https://www.w3.org/TR/trace-context/: ``traceparent`` is VERSION-TRACE-PARENT-FLAGS, all of it lower-case hex;
what it means is known for version 00, and for later ones as far as they begin alike. One that breaks a rule
is as good as none, and then ``tracestate`` does not count either.
"""

from __future__ import annotations

import re
from typing import NamedTuple

HEADER = "traceparent"
STATE_HEADER = "tracestate"

_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_LENGTH = 55
_NOT_SAMPLED = frozenset("02468ace")
# This many characters are what everybody has to be able to pass on, and so many members a list may have.
_MAX_STATE, _MAX_MEMBERS = 512, 32
_KEY = r"[a-z][_0-9a-z*/-]{0,255}|[a-z0-9][_0-9a-z*/-]{0,240}@[a-z][_0-9a-z*/-]{0,13}"
_MEMBER = re.compile(rf"({_KEY})=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{{0,255}}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")


class Parent(NamedTuple):
    """The caller's span.

    Attributes:
        trace_id, span_id: 128 and 64 bits, neither 0.
        sampled: the caller keeps its span.
    """

    trace_id: int
    span_id: int
    sampled: bool


class SpanIdentity(NamedTuple):
    """Of a call's own span.

    Attributes:
        trace_id, span_id: 128 and 64 bits.
        parent_id: the span of its caller; 0: it has none.
        tracestate: as its caller sent it; empty: nothing.
    """

    trace_id: int
    span_id: int
    parent_id: int = 0
    tracestate: str = ""


def is_plainly_unsampled(text: str) -> bool:
    """Does a header of today's length say that the caller's span is not kept? What most of them do say, found
    without reading the rest of it; a broken header that ends so counts as one, and costs a trace at most."""
    return len(text) == _LENGTH and text[-1] in _NOT_SAMPLED


def parse(text: str) -> Parent | None:
    """What a header says; None: it breaks a rule."""
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    version, trace_id, span_id, flags, rest = found.groups()
    if version == "ff" or (version == "00" and rest is not None):
        return None
    parent = Parent(int(trace_id, 16), int(span_id, 16), bool(int(flags, 16) & 1))
    return parent if parent.trace_id and parent.span_id else None


def passed_on(tracestate: str | None) -> str:
    """A caller's tracestate as far as it is passed on: not at all, if it is longer than has to be or breaks a
    rule."""
    if not tracestate or len(tracestate) > _MAX_STATE:
        return ""
    # Empty members are allowed.
    members = [text for one in tracestate.split(",") if (text := one.strip(" \t"))]
    found = [match[1] for one in members if (match := _MEMBER.fullmatch(one))]
    is_list = len(found) == len(members) == len(set(found)) <= _MAX_MEMBERS
    return tracestate if is_list and found else ""


def trace_id_of(text: str) -> str:
    """The trace that a header names, as hex; empty: it names none."""
    parent = parse(text) if text else None
    return f"{parent.trace_id:032x}" if parent is not None else ""
