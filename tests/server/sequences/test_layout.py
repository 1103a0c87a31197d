from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from hotgraph_server.batching.completion import Completion
from hotgraph_server.errors import InvalidCall
from hotgraph_server.sequences.call import LiveSequence, SequenceCall, SequenceId
from hotgraph_server.sequences.layout import Layout
from hotgraph_server.sequences.rules import Control, ControlTensor, SequenceRules, StateTensor
from hotgraph_server.signatures import Shape, Signature, TensorSpec
from hotgraph_server.tensors import STRING, Array

FLOAT32, INT32, BOOL = np.dtype(np.float32), np.dtype(np.int32), np.dtype(np.bool_)


def spec(alias: str, dtype: np.dtype[Any], shape: Shape | None) -> TensorSpec:
    return TensorSpec(alias, f"{alias}:0", dtype, shape)


def signature_with(corrid: np.dtype[Any], rank: int = 2) -> Signature:
    flags: Shape = (None, *(1,) * (rank - 1)) if rank else ()
    return Signature(
        "serving_default",
        (
            spec("CORRID", corrid, flags),
            spec("START", INT32, flags),
            spec("x", FLOAT32, (None, 2)),
            spec("READY", BOOL, flags),
            spec("state_in", FLOAT32, (None, 3)),
            spec("name", STRING, (None,)),
        ),
        (
            spec("y", FLOAT32, (None, 2)),
            spec("state_out", FLOAT32, (None, 3)),
            spec("whole", FLOAT32, (5,)),
        ),
    )


def rules_with(corrid: np.dtype[Any], **others: Any) -> SequenceRules:
    given = {
        "controls": (
            ControlTensor(Control.CORRELATION_ID, "CORRID", corrid),
            ControlTensor(Control.START, "START", INT32, np.int32(-1), np.int32(7)),
            ControlTensor(Control.READY, "READY", BOOL, np.False_, np.True_),
        ),
        "states": (StateTensor("state_in", "state_out", FLOAT32, (3,)),),
        **others,
    }
    return SequenceRules(**given)


def layout_of(dtype: Any = np.uint64, rows: int = 1, rank: int = 2) -> Layout:
    corrid = np.dtype(dtype)
    return Layout(signature_with(corrid, rank), rules_with(corrid), batched=True, rows=rows)


def call(
    sequence_id: SequenceId,
    place: int,
    value: float,
    *,
    start: bool = False,
    outputs: tuple[str, ...] = ("y",),
    states: Sequence[Array] = (),
) -> SequenceCall:
    inputs = [np.full((1, 2), value, np.float32), np.array([b"abc"], object)]
    one = SequenceCall(sequence_id, inputs, outputs, Completion(lambda _: None), start=start)
    one.sequence = LiveSequence(sequence_id, states or (np.full((1, 3), value, np.float32),), place=place)
    return one


def test_clients_send_what_no_rule_fills_in() -> None:
    assert [spec.alias for spec in layout_of().clients] == ["x", "name"]


def test_a_single_row_gets_its_controls_and_state_in_the_order_of_the_signature() -> None:
    corrid, start, x, ready, state, name = layout_of().inputs([call(9, 0, 4, start=True)])
    assert corrid.dtype == np.uint64
    assert corrid.tolist() == [[9]]
    assert (start.dtype, start.tolist()) == (INT32, [[7]])
    assert (ready.dtype, ready.tolist()) == (BOOL, [[True]])
    assert x.tolist() == [[4, 4]]
    assert state.tolist() == [[4, 4, 4]]
    assert name.tolist() == [b"abc"]
    assert layout_of().inputs([call(9, 0, 4)])[1].tolist() == [[-1]]


def test_rows_of_slots_that_have_nothing_to_say_are_empty_and_not_ready() -> None:
    layout = layout_of(rows=4)
    corrid, start, x, ready, state, name = layout.inputs([call(9, 3, 4, start=True), call(5, 1, 2)])
    assert corrid.ravel().tolist() == [0, 5, 0, 9]
    assert start.ravel().tolist() == [-1, -1, -1, 7]
    assert ready.ravel().tolist() == [False, True, False, True]
    assert x.tolist() == [[0, 0], [2, 2], [0, 0], [4, 4]]
    assert state[:, 0].tolist() == [0, 2, 0, 4]
    assert name.tolist() == [b"", b"abc", b"", b"abc"]


def test_each_slot_gets_its_own_rows_back() -> None:
    layout = layout_of(rows=3)
    calls = [call(9, 2, 4, outputs=("whole", "y")), call(5, 0, 2, outputs=("whole", "y"))]
    assert layout.inner_outputs(("whole", "y")) == ("whole", "y", "state_out")
    y = np.arange(6, dtype=np.float32).reshape(3, 2)
    state = np.arange(9, dtype=np.float32).reshape(3, 3)
    whole = np.ones(5, np.float32)
    last, first = layout.results(calls, [whole, y, state])
    assert [array.tolist() for array in last.answer] == [[1] * 5, [[4, 5]]]
    assert [array.tolist() for array in first.answer] == [[1] * 5, [[0, 1]]]
    assert [array.tolist() for array in last.states] == [[[6, 7, 8]]]


def test_state_that_is_kept_does_not_keep_the_batch_that_it_is_a_row_of() -> None:
    batch = np.zeros((64, 3), np.float32)
    (result,) = layout_of().results([call(9, 0, 4)], [np.zeros((1, 2), np.float32), batch[5:6]])
    assert result.states[0].base is None


def test_a_state_may_be_asked_for_too() -> None:
    layout = layout_of()
    assert layout.inner_outputs(("state_out",)) == ("state_out",)
    state = np.ones((1, 3), np.float32)
    (result,) = layout.results([call(9, 0, 4, outputs=("state_out",))], [state])
    assert result.answer[0].tolist() == result.states[0].tolist() == [[1, 1, 1]]


def test_a_model_of_slots_may_have_its_rows_for_good() -> None:
    of = Signature("f", (spec("x", FLOAT32, (3, 1)),), (spec("y", FLOAT32, (3, 1)),))
    layout = Layout(of, SequenceRules(), batched=True, rows=3)
    with pytest.raises(InvalidCall, match="batch-size 1"):
        layout.check(1, [np.zeros((3, 1))], "m")
    one = SequenceCall(1, [np.full((1, 1), 5, np.float32)], ("y",), Completion(lambda _: None))
    one.sequence = LiveSequence(1, place=1)
    (x,) = layout.inputs([one])
    assert x.tolist() == [[0], [5], [0]]
    (result,) = layout.results([one], [x])
    assert result.answer[0].tolist() == [[5]]


def test_outputs_without_a_row_for_each_slot_are_no_answer() -> None:
    with pytest.raises(ValueError, match="3 rows went in, output 'y' has shape"):
        layout_of(rows=3).results([call(9, 0, 4)], [np.zeros((2, 2)), np.zeros((3, 3))])


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
def test_controls_have_the_rank_that_the_model_declares(rank: int) -> None:
    corrid = layout_of(rank=rank).inputs([call(9, 0, 4)])[0]
    assert corrid.shape == (1,) * rank


def test_a_model_of_slots_needs_a_row_for_each() -> None:
    with pytest.raises(ValueError, match="tensor 'CORRID' of shape \\[\\] cannot have a row for each of 3"):
        layout_of(rank=0, rows=3)


@pytest.mark.parametrize("nothing", [0, ""])
def test_a_call_without_an_id_is_refused(nothing: SequenceId) -> None:
    with pytest.raises(InvalidCall, match="must specify a non-zero or non-empty correlation ID"):
        layout_of().check(nothing, [np.zeros((1, 2)), np.zeros(1)], "m")


def test_more_than_one_row_is_refused() -> None:
    with pytest.raises(
        InvalidCall, match="must specify batch-size 1 due to requirements of sequence batcher"
    ):
        layout_of().check(1, [np.zeros((2, 2)), np.zeros(2)], "m")


@pytest.mark.parametrize(
    ("dtype", "sequence_id", "fits"),
    [
        (np.uint64, 2**64 - 1, True),
        (np.uint64, -1, True),
        (np.int64, 2**64 - 1, True),
        (np.uint32, 2**32 - 1, True),
        (np.uint32, 2**32, False),
        (np.int32, 2**31, False),
        (np.uint64, "a", False),
        (object, "a", True),
        (object, 1, False),
        (object, "a" * 128, True),
        (object, "a" * 129, False),
    ],
)
def test_an_id_must_fit_the_tensor_that_it_goes_into(dtype: Any, sequence_id: SequenceId, fits: bool) -> None:
    layout = layout_of(dtype)
    inputs = [np.zeros((1, 2)), np.zeros(1)]
    if fits:
        layout.check(sequence_id, inputs, "m")
    else:
        with pytest.raises(InvalidCall, match="correlation ID"):
            layout.check(sequence_id, inputs, "m")


def test_a_string_id_goes_in_as_its_bytes() -> None:
    assert layout_of(object, rows=2).inputs([call("é", 1, 4)])[0].tolist() == [[b""], ["é".encode()]]


def test_without_initial_values_a_state_begins_with_zeros_and_a_free_size_with_one() -> None:
    state = StateTensor("state_in", "state_out", FLOAT32, (-1, 3))
    corrid = np.dtype(np.uint64)
    for batched, shape in ((True, (1, 1, 3)), (False, (1, 3))):
        layout = Layout(signature_with(corrid), rules_with(corrid, states=(state,)), batched=batched)
        assert [array.shape for array in layout.initial] == [shape]
        assert not layout.initial[0].any()


def test_given_initial_values_are_taken() -> None:
    state = StateTensor("state_in", "state_out", FLOAT32, (3,), np.array([1, 2, 3], np.float32))
    corrid = np.dtype(np.uint64)
    layout = Layout(signature_with(corrid), rules_with(corrid, states=(state,)), batched=True)
    assert layout.initial[0].tolist() == [[1, 2, 3]]


@pytest.mark.parametrize(
    ("states", "says"),
    [
        ((StateTensor("nobody", "state_out", FLOAT32, (3,)),), "no input 'nobody'"),
        ((StateTensor("state_in", "nobody", FLOAT32, (3,)),), "no output 'nobody'"),
    ],
)
def test_tensors_that_are_not_there_are_named(states: Any, says: str) -> None:
    corrid = np.dtype(np.uint64)
    with pytest.raises(ValueError, match=says):
        Layout(signature_with(corrid), rules_with(corrid, states=states), batched=True)
