"""Messages that were changed on their way, and what they hold: for the tests of both protocols' templates."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import strategies as st

from hotgraph_server.tensors import STRING, Array
from hotgraph_server.transport.message_fields import MalformedMessage, fields


def held(array: Array) -> tuple[object, ...]:
    """All about an array, to compare. Every NaN is the same one: a signalling NaN in a typed field becomes
    a quiet one when protobuf reads it."""
    if array.dtype == STRING:
        return (array.dtype, array.shape, array.tolist())
    if array.dtype.kind == "f":
        array = np.where(np.isnan(array), array.dtype.type(np.nan), array)
    return (array.dtype, array.shape, array.tobytes())


@st.composite
def mutated(draw: st.DrawFn, message: bytes) -> bytes:
    """`message` with a few changes: mostly bytes overwritten in place, which is where templates could be
    wrong; also cut, inserted, and whole fields moved or repeated."""
    changed = message
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["flip", "flip", "overwrite", "overwrite", "cut", "insert", "fields"]))
        at = draw(st.integers(0, max(len(changed) - 1, 0)))
        if kind == "flip" and changed:
            other = changed[at] ^ (1 << draw(st.integers(0, 7)))
            changed = changed[:at] + bytes([other]) + changed[at + 1 :]
        elif kind == "overwrite":
            new = draw(st.binary(max_size=12))[: len(changed) - at]
            changed = changed[:at] + new + changed[at + len(new) :]
        elif kind == "cut":
            changed = changed[:at] + changed[at + draw(st.integers(1, 12)) :]
        elif kind == "insert":
            changed = changed[:at] + draw(st.binary(min_size=1, max_size=12)) + changed[at:]
        elif kind == "fields":
            changed = draw(_rearranged(changed))
    return changed


@st.composite
def _rearranged(draw: st.DrawFn, message: bytes) -> bytes:
    try:
        parts = [message[start:end] for _, _, start, _, end in fields(memoryview(message))]
    except MalformedMessage:
        return message
    order = draw(st.lists(st.sampled_from(parts), max_size=len(parts))) if parts else []
    if draw(st.booleans()):
        return b"".join(draw(st.permutations(parts)))
    return b"".join(itertools.chain(parts, order))
