"""Which streams may still say something, and how much of that is remembered."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.transport.http2.stream_ids import StreamNumbers


@given(st.lists(st.integers(0, 20), max_size=60))
def test_number_is_idle_passed_over_or_was_opened(steps: list[int]) -> None:
    numbers, opened = StreamNumbers(), set()
    for step in steps:
        number = numbers.last + 2 * step + (2 if numbers.last else 1)
        numbers.opened(number)
        opened.add(number)
    for number in range(1, numbers.last + 10):
        if number > numbers.last or number % 2 == 0:
            assert numbers.is_idle(number)
        else:
            assert numbers.was_passed_over(number) == (number not in opened)


def test_peer_may_speak_where_we_ended_until_it_is_done() -> None:
    numbers = StreamNumbers()
    numbers.opened(1)
    assert not numbers.may_speak(1)
    numbers.left(1, 10)
    assert numbers.may_speak(1)
    assert numbers.sent(1, 10)
    assert not numbers.sent(1, 1)
    numbers.done(1)
    assert not numbers.may_speak(1)


def test_what_is_remembered_is_bounded_and_where_it_is_not_the_peer_is_believed() -> None:
    numbers = StreamNumbers()
    for number in range(1, 100_001, 4):
        numbers.opened(number)
        numbers.left(number, 10)
    opened = range(1, 100_001, 4)
    assert sum(numbers.was_passed_over(number + 2) for number in opened) == 64
    assert numbers.may_speak(1)
    assert numbers.may_speak(99_997)
    # More than any window had room for; where nothing is remembered, the peer is believed.
    assert sum(not numbers.sent(number, 11) for number in opened) == 1024
