"""Predict and ModelInfer with their templates: a message never means anything else because of what came
before it."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.models.registry import Registry
from hotgraph_server.models.status import State
from hotgraph_server.signatures import Signature
from hotgraph_server.transport.message_fields import WORTH_CUTTING, Message

from .fakes import FakeReply, RecordingVersion, spec, strings
from .hot_methods import Case, outcome, registry_of
from .mutations import mutated
from .tfs.predict_messages import PREDICT
from .v2.infer_messages import INFER

CASES = [PREDICT, INFER]
KINDS = [bytes, bytearray, memoryview]
both = pytest.mark.parametrize("case", CASES, ids=[case.method for case in CASES])


@pytest.mark.parametrize(("case", "name"), [(case, name) for case in CASES for name in sorted(case.good)])
@pytest.mark.parametrize("kind", KINDS)
def test_form_that_is_known_is_not_parsed_again_and_means_the_same(
    case: Case, name: str, kind: Callable[[bytes], Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = case.version()
    hot = case.hot(registry_of(model))
    once = outcome(hot, kind(case.good[name]), model)
    if name != case.refused:
        case.forbid_parsing(monkeypatch)
    assert outcome(hot, kind(case.good[name]), model) == once


@both
def test_large_message_of_a_known_form_is_not_parsed_and_its_array_is_a_view(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The default has one row.
    model = case.version(alone="reason")
    hot = case.hot(registry_of(model))
    rows = WORTH_CUTTING // 8
    outcome(hot, case.floats(rows=rows, y=None), model)
    case.forbid_parsing(monkeypatch)
    message = bytearray(case.floats(5, rows=rows, y=None))
    model.calls.clear()
    hot(message, FakeReply())
    x, y = model.calls[0].inputs
    assert (x == 5).all()
    assert np.shares_memory(x, np.frombuffer(message, np.uint8))
    assert np.shares_memory(y, case.default_y)


@both
def test_strings_tell_forms_apart(case: Case) -> None:
    model = case.version()
    hot = case.hot(registry_of(model))
    for words in (strings(b"a", b"bcd"), strings(b"ab", b"cd"), strings(b"a", b"bcd")):
        hot(case.words(words), FakeReply())
        assert model.calls[-1].inputs[-1].tolist() == words.tolist()


@both
@given(data=st.data())
def test_any_message_means_what_it_means_to_a_server_that_knows_no_form(
    case: Case, data: st.DataObject
) -> None:
    base = case.good[data.draw(st.sampled_from(sorted(case.good)))]
    model = case.version(alone=data.draw(st.sampled_from([None, "reason"])))
    registry = registry_of(model)
    warm = case.hot(registry)
    outcome(warm, base, model)
    message = data.draw(mutated(base))
    kind: Callable[[bytes], Message] = data.draw(st.sampled_from(KINDS))
    cold = outcome(case.hot(registry), message, model)
    assert outcome(warm, kind(message), model) == cold
    # Now that it may have been learned itself.
    assert outcome(warm, kind(message), model) == cold
    assert outcome(warm, base, model) == outcome(case.hot(registry), base, model)


@both
@given(data=st.data())
def test_whatever_is_published_and_drained_a_call_reaches_the_version_that_is_live(
    case: Case, data: st.DataObject
) -> None:
    """Signatures differ between versions, too: what one takes another may refuse."""
    registry = Registry()
    warm = case.hot(registry)
    versions: list[RecordingVersion] = []
    asked = [case.floats(number=number) for number in case.numbers]
    for _ in range(data.draw(st.integers(1, 6))):
        step = data.draw(st.sampled_from(["publish", "publish", "drain", "share"]))
        if step == "publish":
            shape = data.draw(st.sampled_from([(None, 2), (1, 2), (None, 3)]))
            dtype = data.draw(st.sampled_from([np.float32, np.float32, np.float64]))
            signature = Signature(
                "serving_default",
                (spec("x", np.float32, *shape), spec("y", dtype, *shape)),
                (spec("sum", np.float32, *shape),),
            )
            number = data.draw(st.sampled_from([number for number in case.numbers if number is not None]))
            versions.append(RecordingVersion("m", number, signature))
            registry.publish(versions[-1:])
        elif versions and step == "drain":
            data.draw(st.sampled_from(versions)).state = State.DRAINING
        elif versions:
            alone = data.draw(st.sampled_from([None, "reason"]))
            data.draw(st.sampled_from(versions)).unbatched_reasons = {"serving_default": alone}
        for message in asked:
            cold = outcome(case.hot(registry), message, *versions)
            assert outcome(warm, message, *versions) == cold
            assert outcome(warm, message, *versions) == cold


@both
def test_version_that_was_replaced_is_let_go(case: Case) -> None:
    registry = registry_of(case.version())
    hot = case.hot(registry)
    hot(case.floats(), FakeReply())
    gone = weakref.ref(registry.table["m"][3])
    registry.publish([case.version()])
    gc.collect()
    assert gone() is None
