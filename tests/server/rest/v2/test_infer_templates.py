"""infer over HTTP with its templates: a body never means anything else because of what came before it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.models.registry import Registry
from hotgraph_server.models.status import State
from hotgraph_server.rest.v2 import infer_request
from hotgraph_server.rest.v2.infer import HttpInfer
from hotgraph_server.transport.http import Request
from hotgraph_server.transport.message_fields import Message
from hotgraph_server.transport.service import Reply

from ...protocols.fakes import RecordingVersion, float_signature, strings
from ...protocols.hot_methods import outcome, registry_of
from ...protocols.mutations import mutated
from ...protocols.v2.infer_messages import version
from .http_calls import (
    MOST_BYTES,
    FakeHttpReply,
    binary_body,
    binary_input,
    endpoint_of,
    infer_body,
    json_input,
    no_pool,
)

KINDS: list[Callable[[bytes], Message]] = [bytes, bytearray, memoryview]


def full(value: float, rows: int = 1) -> Any:
    return np.full((rows, 2), value, np.float32)


def mixed(words: Any) -> tuple[bytes, int]:
    """A good call of `mixed` of infer_messages, two rows."""
    arrays = {
        "doubles": np.array([1, 2], np.float64),
        "flags": np.array([[False, True], [True, False]]),
        "bytes": np.arange(6, dtype=np.int8).reshape(2, 3),
        "words": words,
    }
    described = [binary_input(array, name) for name, array in arrays.items()]
    halves = {
        "name": "halves",
        "datatype": "BF16",
        "shape": [2],
        "parameters": {"binary_data_size": 4},
    }
    inputs = [one for one, _ in described]
    return infer_body(
        [*inputs, halves],
        b"".join(contents for _, contents in described) + b"\0\1\2\3",
        id="mix",
        parameters={"signature_name": "mixed", "binary_data_output": True},
    )


def good_bodies() -> dict[str, tuple[bytes, int]]:
    """One of each form that callers send: to model "m" of infer_messages."""
    both = {"x": full(1), "y": full(2)}
    described, contents = binary_input(full(1), "x")
    raw = full(1).tobytes()
    return {
        "binary": binary_body(both),
        "with id": binary_body(both, id="call-1é"),
        "with a strange id": binary_body(both, id='a"b\\'),
        "with id not first": binary_body(both, parameters={"binary_data_output": True}, id="late"),
        "with default": binary_body({"x": full(1)}),
        "timed": binary_body(both, id="t", parameters={"timeout": 10**9, "priority": 2**64 - 1}),
        "chosen": binary_body(both, outputs=[{"name": "difference", "parameters": {"binary_data": True}}]),
        "classes": binary_body(both, outputs=[{"name": "sum", "parameters": {"classification": 1}}]),
        "many rows": binary_body({"x": full(1, 8), "y": full(2, 8)}),
        "half in json": infer_body([described, json_input(full(2), "y")], contents),
        "compact": (lambda text: (text + 2 * raw, len(text)))(
            b'{"id":"c1","inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}}'
            b',{"name":"y","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}}]}'
        ),
        "mixed": mixed(strings(b"a", b"bc")),
        "json": (lambda text: (text, len(text)))(
            json.dumps({"inputs": [json_input(full(1), "x"), json_input(full(2), "y")]}).encode()
        ),
    }


GOOD = good_bodies()
UNLEARNED = {"json"}
"""Forms of bodies without tensors behind their JSON."""


def hot(
    infer: HttpInfer, length: int | None, model: str = "m", number: str = ""
) -> Callable[[Any, Reply], None]:
    """The method of bodies with so much JSON, as gRPC's are."""

    def call(body: Message, reply: Reply) -> None:
        endpoint_of(infer, length, model, number).begin(body, reply)

    return call


def infer_of(*versions: RecordingVersion) -> HttpInfer:
    return HttpInfer(registry_of(*versions), no_pool(), MOST_BYTES)


def forbid_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on JSON that is read fails the test."""

    def read(text: bytes, *, with_length: bool) -> Any:
        raise AssertionError("read")

    monkeypatch.setattr(infer_request, "read_json", read)


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("kind", KINDS)
def test_form_that_is_known_is_not_read_again_and_means_the_same(
    name: str, kind: Callable[[bytes], Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    body, length = GOOD[name]
    model = version()
    call = hot(infer_of(model), length)
    once = outcome(call, kind(body), model)
    assert isinstance(once[-1], bytes)
    if name not in UNLEARNED:
        forbid_reading(monkeypatch)
    assert outcome(call, kind(body), model) == once


@pytest.mark.parametrize("name", GOOD)
def test_answers_have_the_same_head_either_way(name: str) -> None:
    """Which the comparison of joined bytes does not see."""
    body, length = GOOD[name]
    model = version()
    call = hot(infer_of(model), length)
    heads = []
    for _ in range(2):
        reply = FakeHttpReply(Request("POST", "/", "", {}))
        call(body, reply)
        made = model.calls.pop()
        made.completion.finish([np.zeros((1, 2), np.float32)] * len(made.outputs))
        content = reply.content()
        heads.append((content.kind, list(content.headers), b"".join(content)))
    assert heads[0] == heads[1]


def test_ids_of_one_length_are_of_one_form(monkeypatch: pytest.MonkeyPatch) -> None:
    model = version()
    infer = infer_of(model)
    for made in (lambda id: binary_body({"x": full(1), "y": full(2)}, id=id), _compact):
        body, length = made("call-1")
        outcome(hot(infer, length), body, model)
        with monkeypatch.context() as patch:
            forbid_reading(patch)
            body, length = made("call-2")
            answer = outcome(hot(infer, length), body, model)[-1]
        assert isinstance(answer, bytes)
        assert b'"id":"call-2"' in answer


def _compact(request_id: str) -> tuple[bytes, int]:
    text, length = binary_body({"x": full(1), "y": full(2)}, id=request_id)
    compact = json.dumps(json.loads(text[:length]), separators=(",", ":")).encode()
    return compact + text[length:], len(compact)


@pytest.mark.parametrize("sent", [b'a"', b"a\\", b"\xff\xfe", b"a\n", b'",', b"\x00\x00"])
def test_what_is_no_id_is_not_taken_for_one(sent: bytes) -> None:
    model = version()
    infer = infer_of(model)
    body, length = _compact("ok")
    outcome(hot(infer, length), body, model)
    broken = body.replace(b'"ok"', b'"' + sent + b'"')
    assert len(broken) == len(body)
    assert outcome(hot(infer, length), broken, model) == outcome(hot(infer_of(model), length), broken, model)


def test_second_id_in_a_body_counts_whatever_the_first_one_is() -> None:
    model = version()
    infer = infer_of(model)
    body, length = _compact("ok")
    for second in (b'"id":"ok"', b'"\\u0069d":"ok"'):
        for first in (b"ok", b"no"):
            text = body[:length].replace(b'{"id":"ok"', b'{"id":"' + first + b'",' + second)
            answer = outcome(hot(infer, len(text)), text + body[length:], model)[-1]
            assert isinstance(answer, bytes)
            assert b'"id":"ok"' in answer


def test_same_body_to_two_models_reaches_both(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = RecordingVersion("m", 3, float_signature()), RecordingVersion("n", 3, float_signature())
    infer = infer_of(first, second)
    body, length = GOOD["binary"]
    for name, model in (("m", first), ("n", second)):
        outcome(hot(infer, length, name), body, model)
    forbid_reading(monkeypatch)
    for name, model in (("m", first), ("n", second), ("m", first)):
        answer = outcome(hot(infer, length, name), body, model)[-1]
        assert isinstance(answer, bytes)
        assert json.loads(answer[: answer.index(b"]}]}") + 4])["model_name"] == name


def test_same_body_to_two_versions_reaches_both() -> None:
    old, new = version(1), version(2)
    infer = infer_of(old, new)
    body, length = GOOD["binary"]
    for _ in range(2):
        for number, index in (("", 1), ("1", 0), ("2", 1)):
            assert outcome(hot(infer, length, number=number), body, old, new)[0] == index


def test_length_of_the_json_belongs_to_the_form() -> None:
    model = version()
    infer = infer_of(model)
    body, length = GOOD["binary"]
    outcome(hot(infer, length), body, model)
    for other in (length - 1, length + 1, None, 0, len(body) + 1, -1):
        wrong = outcome(hot(infer, other), body, model)
        assert wrong == outcome(hot(infer_of(model), other), body, model)
        assert len(wrong) == 3


def test_strings_tell_forms_apart() -> None:
    model = version()
    infer = infer_of(model)
    for words in (strings(b"a", b"bcd"), strings(b"ab", b"cd"), strings(b"a", b"bcd")):
        body, length = mixed(words)
        outcome(hot(infer, length), body, model)
        assert model.calls[-1].inputs[-1].tolist() == words.tolist()


def test_rows_are_checked_as_soon_as_calls_share_batches() -> None:
    model = version(alone="reason")
    infer = infer_of(model)
    body, length = binary_body({"x": full(1, 2), "y": full(2)})
    assert len(outcome(hot(infer, length), body, model)) > 3
    model.unbatched_reasons = dict.fromkeys(model.unbatched_reasons)
    assert "batch size does not match" in str(outcome(hot(infer, length), body, model)[1])


def test_version_that_drains_or_was_replaced_is_called_no_more() -> None:
    old = version()
    registry = registry_of(old)
    infer = HttpInfer(registry, no_pool(), MOST_BYTES)
    body, length = GOOD["binary"]
    endpoint = endpoint_of(infer, length)
    outcome(endpoint.begin, body, old)
    old.state = State.DRAINING
    assert "not at ready state" in str(outcome(endpoint.begin, body, old)[1])
    new = version()
    registry.publish([new])
    assert outcome(endpoint.begin, body, old, new)[0] == 1


@given(data=st.data())
def test_any_body_means_what_it_means_to_a_server_that_knows_no_form(data: st.DataObject) -> None:
    base, length = GOOD[data.draw(st.sampled_from(sorted(GOOD)))]
    model = version(alone=data.draw(st.sampled_from([None, "reason"])))
    registry: Registry = registry_of(model)
    warm = HttpInfer(registry, no_pool(), MOST_BYTES)
    outcome(hot(warm, length), base, model)
    body = data.draw(mutated(base))
    sent = data.draw(
        st.sampled_from([length, length, length, None, 0, length + len(body) - len(base), len(body)])
    )
    kind = data.draw(st.sampled_from(KINDS))
    cold = outcome(hot(HttpInfer(registry, no_pool(), MOST_BYTES), sent), body, model)
    assert outcome(hot(warm, sent), kind(body), model) == cold
    # Now that it may have been learned itself.
    assert outcome(hot(warm, sent), kind(body), model) == cold
    assert outcome(hot(warm, length), base, model) == outcome(
        hot(HttpInfer(registry, no_pool(), MOST_BYTES), length), base, model
    )
