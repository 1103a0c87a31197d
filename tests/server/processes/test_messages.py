"""What supervisors and processes say to each other, as bytes."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.processes import messages

VALUES = st.one_of(st.text(), st.integers(), st.booleans(), st.dictionaries(st.text(), st.text()))


@given(st.dictionaries(st.text(), VALUES), st.binary())
def test_what_is_read_is_what_was_sent(message: dict[str, Any], body: bytes) -> None:
    sent = messages.encode(message, body)
    head, rest = sent[: messages.HEAD_BYTES], sent[messages.HEAD_BYTES :]
    text, more = messages.lengths(head)
    assert messages.decode(rest[:text]) == message
    assert rest[text:] == body
    assert len(rest) == text + more
