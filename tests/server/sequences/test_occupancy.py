"""What the table holds, and why it takes in no more."""

from __future__ import annotations

import numpy as np
import pytest

from hotgraph_server.errors import OverLimit, QueueFull
from hotgraph_server.sequences.bounds import Bounds
from hotgraph_server.sequences.call import SequenceCall
from hotgraph_server.sequences.occupancy import Occupancy

from ..fakes import Caller

MIB = 2**20


def call(nbytes: int = 0) -> SequenceCall:
    return SequenceCall(1, [], ("y",), Caller().completion, nbytes=nbytes)


def occupancy(**bounds: object) -> Occupancy:
    return Occupancy("model 'm' version 1", Bounds(slots=1, idle_s=1.0, **bounds))  # type: ignore[arg-type]


def test_one_call_more_than_may_wait_is_refused_until_one_goes() -> None:
    held, calls = occupancy(max_calls=2), [call(), call()]
    for one in calls:
        assert held.refusal_of_call(call()) is None
        held.waits(one)
    refusal = held.refusal_of_call(call())
    assert isinstance(refusal, QueueFull)
    assert "the queue of model 'm' version 1's sequences" in str(refusal)
    held.goes(calls[0])
    assert held.refusal_of_call(call()) is None
    assert held.waiting == 1


def test_bytes_of_inputs_do_not_keep_out_the_only_call() -> None:
    held = occupancy(max_call_nbytes=2 * MIB)
    assert held.refusal_of_call(call(9 * MIB)) is None
    large = call(2 * MIB)
    held.waits(large)
    refusal = held.refusal_of_call(call(1))
    assert isinstance(refusal, QueueFull)
    assert "MiB" in str(refusal)
    held.goes(large)
    assert held.refusal_of_call(call(1)) is None


def test_sequences_are_bounded_in_number_and_by_what_they_begin_with() -> None:
    held = occupancy(max_sequences=2, max_state_nbytes=16, initial=(np.zeros(1),))
    assert held.refusal_of_sequence(1) is None
    assert "has 2 sequences, and max_sequences is 2" in str(held.refusal_of_sequence(2))
    held.state_nbytes = 9
    assert isinstance(held.refusal_of_sequence(1), OverLimit)


@pytest.mark.parametrize(("more", "refused"), [(-8, False), (0, False), (8, False), (9, True)])
def test_states_may_fill_their_limit_and_always_shrink(more: int, refused: bool) -> None:
    held = occupancy(max_state_nbytes=16)
    held.state_nbytes = 8
    assert (held.refusal_of_state(more) is not None) is refused
    held.state_nbytes = 99
    assert held.refusal_of_state(-1) is None
