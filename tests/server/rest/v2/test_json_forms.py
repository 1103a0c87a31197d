"""A JSON request never means anything else because of what came before it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.rest.v2.infer import HttpInfer
from hotgraph_server.rest.v2.json_forms import MAX_FORMS, MAX_OF_A_KEY, Form, JsonForms, around
from hotgraph_server.signatures import Signature, TensorSpec

from ...protocols.fakes import RecordingVersion
from ...protocols.hot_methods import outcome, registry_of
from ...protocols.mutations import mutated
from .http_calls import MOST_BYTES, no_pool
from .test_infer_templates import forbid_reading, hot

DTYPES = {
    "FP32": np.float32,
    "FP64": np.float64,
    "FP16": np.float16,
    "INT8": np.int8,
    "UINT16": np.uint16,
    "INT64": np.int64,
    "UINT64": np.uint64,
    "BOOL": np.bool_,
    "BYTES": np.object_,
}


def single(datatype: str = "FP32") -> RecordingVersion:
    """A model of one input `x` and one output, of rows of any length."""
    dtype: np.dtype[Any] = np.dtype(DTYPES[datatype])
    made = Signature(
        "serving_default",
        (TensorSpec("x", "x:0", dtype, (None, None)),),
        (TensorSpec("y", "y:0", np.dtype(np.float32), (None, None)),),
    )
    return RecordingVersion("m", 3, made)


def body_of(data: Any, datatype: str = "FP32", shape: Any = (1, 2), **more: Any) -> bytes:
    one = {"name": "x", "shape": list(shape), "datatype": datatype, "data": data}
    return json.dumps({"inputs": [one], **more}).encode()


def infer_of(model: RecordingVersion) -> HttpInfer:
    return HttpInfer(registry_of(model), no_pool(), MOST_BYTES)


MAX64 = 2**64 - 1
VALUES: dict[str, list[Any]] = {
    "FP32": [[1.5, -2], [[0.1, 3]], ["NaN", 1], [3.4028235e38, -3.4028235e38], [2**63, MAX64]],
    "FP64": [[1.5, -2], [[1e300, 3]], [["Infinity", 1]]],
    "FP16": [[1.5, -2], [[65504, 3]]],
    "INT8": [[127, -128], [[1], [2]]],
    "UINT16": [[0, 65535]],
    "INT64": [[-(2**63), 2**63 - 1]],
    "UINT64": [[0, MAX64]],
    "BOOL": [[True, False]],
    "BYTES": [["a", "é"], [{"b64": "AAH/"}, "b"]],
}


@pytest.mark.parametrize("datatype", VALUES)
def test_form_that_is_known_is_read_no_more_and_means_the_same(
    datatype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = single(datatype)
    call = hot(infer_of(model), None)
    for first in VALUES[datatype]:
        outcome(call, body_of(first, datatype), model)
        fresh = [
            outcome(hot(infer_of(model), None), body_of(values, datatype), model)
            for values in VALUES[datatype]
        ]
        with monkeypatch.context() as patch:
            if json.dumps(VALUES[datatype]).isascii():
                forbid_reading(patch)
            for values, expected in zip(VALUES[datatype], fresh, strict=True):
                assert outcome(call, body_of(values, datatype), model) == expected
                assert isinstance(expected[-1], bytes)


WRONG: dict[str, list[Any]] = {
    "FP32": [
        [1],
        [1, 2, 3],
        [True, 1],
        [1, "1.5"],
        [1, None],
        [[1], 2, [3]],
        [1e39, 0],
        1,
        {},
        "ab",
    ],
    "INT8": [[128, 0], [1.0, 2], [True, 1], ["1", 2], [None, 1], [2**70, 1]],
    "UINT64": [[-1, 0], [2**64, 0], [True, 0]],
    "BOOL": [[1, 0], ["true", True]],
    "BYTES": [[1, "a"], [{"b64": "!"}, "a"]],
}


@pytest.mark.parametrize("datatype", WRONG)
def test_values_that_do_not_fit_are_refused_in_the_same_words(datatype: str) -> None:
    model = single(datatype)
    call = hot(infer_of(model), None)
    outcome(call, body_of(VALUES[datatype][0], datatype), model)
    for values in WRONG[datatype]:
        body = body_of(values, datatype)
        refused = outcome(call, body, model)
        assert len(refused) == 3, values
        assert refused == outcome(hot(infer_of(model), None), body, model)


def test_text_that_breaks_off_or_goes_on_within_a_form_is_refused() -> None:
    model = single()
    call = hot(infer_of(model), None)
    good = body_of([1, 2])
    outcome(call, good, model)
    before, behind = around(good) or (b"", b"")
    for between in (
        b"",
        b"[1,2",
        b"[1,2]]",
        b"[1,2],",
        b'[1,2],"shape":[2,1]',
        b"[1 2]",
        b"[1,2]//",
        b"\xff",
    ):
        body = before + between + behind
        assert outcome(call, body, model) == outcome(hot(infer_of(model), None), body, model), between


BODIES = [
    body_of([1.0, 2.0]),
    body_of([[1.0, 2.0]], id="a"),
    body_of([1.0, 2.0], outputs=[{"name": "y"}], parameters={"timeout": 5}),
    b'{"inputs":[{"data":[1,2],"datatype":"FP32","shape":[1,2],"name":"x"}]}',
    b'{"inputs":[{"name":"x","data":[1,2],"datatype":"FP32","shape":[1,2],"data":[3,4]}]}',
    b'{"inputs":[{"name":"x","data":[1,2],"datatype":"FP32","shape":[1,2],"\\u0064ata":[3,4]}]}',
    b'{"parameters":{"data":[7,7]},"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"\\u0064ata":[3,4]}]}',
]


@given(data=st.data())
def test_warm_server_understands_what_a_cold_one_does(data: st.DataObject) -> None:
    model = single()
    warm = hot(infer_of(model), None)
    for body in BODIES:
        outcome(warm, body, model)
    text = data.draw(mutated(data.draw(st.sampled_from(BODIES))))
    for _ in range(2):
        assert outcome(warm, text, model) == outcome(hot(infer_of(model), None), text, model)


@pytest.mark.parametrize("body", BODIES[4:])
def test_what_has_no_form_is_not_learnt(body: bytes) -> None:
    assert around(body) is None


def test_texts_with_two_inputs_have_no_form() -> None:
    one = {"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}
    assert around(json.dumps({"inputs": [one, {**one, "name": "z"}]}).encode()) is None


def test_much_around_the_values_has_no_form() -> None:
    assert around(body_of([1, 2], id="a" * 5000)) is None


def test_version_that_has_gone_is_not_called_by_the_form_of_its_texts() -> None:
    old, new = single(), RecordingVersion("m", 4, *single().signatures.values())
    registry = registry_of(old)
    infer = HttpInfer(registry, no_pool(), MOST_BYTES)
    body = body_of([1, 2])
    assert outcome(hot(infer, None), body, old, new)[0] == 0
    registry.replace("m", [new], {})
    assert outcome(hot(infer, None), body, old, new)[0] == 1


def test_forms_are_bounded_whatever_comes() -> None:
    forms: JsonForms[int] = JsonForms()
    for number in range(300):
        forms.add(number % 50, Form(b"%d[" % number, b"]", number))
        assert len(forms) <= MAX_FORMS
    assert forms.find(49, b"299[1]") is not None
    of_one: JsonForms[int] = JsonForms()
    for number in range(MAX_OF_A_KEY + 2):
        of_one.add("k", Form(b"%d[" % number, b"]", number))
    assert len(of_one) == MAX_OF_A_KEY
    assert of_one.find("k", b"0[1]") is None


def test_caller_that_never_says_the_same_twice_is_learnt_from_seldom() -> None:
    forms: JsonForms[int] = JsonForms()
    tried = sum(forms.wants_more() for _ in range(2000))
    assert tried < 20
    forms.add("k", Form(b"a", b"z", 1))
    assert forms.find("k", b"a1z") is not None
    assert forms.wants_more(), "what is used is worth more of it"


def test_forms_are_not_told_by_a_text_that_is_too_short_for_both_ends() -> None:
    forms: JsonForms[int] = JsonForms()
    forms.add("k", Form(b"ab", b"ba", 1))
    assert forms.find("k", b"aba") is None
