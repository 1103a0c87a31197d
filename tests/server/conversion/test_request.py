from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.conversion.request import Answer, Request


def test_request_and_answer_arrive_as_they_were_sent() -> None:
    request = Request("/a b/m.keras", "/out", True, ("one", "two"), inputs=("x:0",), specs=("x=float32[?]",))
    assert Request.from_json(request.to_json()) == request
    answer = Answer("Keras 3", ("a remark",), "")
    assert Answer.from_json(answer.to_json()) == answer


@pytest.mark.parametrize(
    "text", ["", "[]", "3", '{"else": 1}', '{"remarks": 3}', "{", "[" * 1_000_000], ids=lambda text: text[:9]
)
def test_what_is_no_answer_is_refused(text: str) -> None:
    assert not is_answer(text)


@given(st.text() | st.dictionaries(st.text(), st.integers()).map(json.dumps))
def test_any_text_is_an_answer_or_refused(text: str) -> None:
    # Only an object without anything unknown in it is one.
    assert is_answer(text) == (text == "{}")


def is_answer(text: str) -> bool:
    try:
        Answer.from_json(text)
    except ValueError:
        return False
    return True
