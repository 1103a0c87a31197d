"""loadtest/sending/tally.py."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hotgraph_client.loadtest.load import Answer, Arrivals, Assignment, Destination, Payload
from hotgraph_client.loadtest.sending.calls import Call, Reply
from hotgraph_client.loadtest.sending.tally import Answers, Tally

EPOCH = 50.0


def tally(**more: Any) -> Tally:
    payloads = (Payload("/p", (), b"", rows=1), Payload("/p", (), b"", rows=16))
    assignment = Assignment(
        Destination("h", 1, "h:1"), payloads, Arrivals("poisson"), begin_s=48.0, seconds=5.0, **more
    )
    return Tally(assignment, EPOCH)


def called(kept: Tally, due: float, latency_s: float, reply: Reply, payload: int = 0) -> str:
    call = Call(payload, due)
    kept.due(call, due + 0.001)
    return kept.over(call, reply, due + latency_s)


def test_call_counts_in_the_second_in_which_it_was_due() -> None:
    kept = tally()
    called(kept, EPOCH - 0.5, 3.0, Reply(""))
    called(kept, EPOCH + 0.9, 3.0, Reply(""), payload=1)
    called(kept, EPOCH + 0.95, 3.0, Reply("UNAVAILABLE", b"gone"))
    known = {one.second: one for one in kept.take()}
    assert set(known) == {-1, 0}
    assert (known[0].due, known[0].answered, known[0].rows, known[0].errors) == (2, 1, 16, {"UNAVAILABLE": 1})
    assert list(known[0].latency_us) == [3_000_000]
    assert [round(lag, -2) for lag in known[0].lag_us] == [1000, 1000]
    assert known[-1].answered == 1


def test_what_was_told_is_not_told_again() -> None:
    kept = tally()
    call = Call(0, EPOCH)
    kept.due(call, EPOCH)
    (first,) = kept.take()
    kept.over(call, Reply(""), EPOCH + 2.0)
    (second,) = kept.take()
    assert (first.second, first.due, first.answered) == (0, 1, 0)
    assert (second.second, second.due, second.answered) == (0, 0, 1)
    assert kept.take() == []


def test_answer_past_the_deadline_is_late_and_no_latency() -> None:
    kept = tally(deadline_s=0.05)
    assert called(kept, EPOCH, 0.0499, Reply("", b"a")) == ""
    assert called(kept, EPOCH, 0.0501, Reply("", b"b")) == "LATE"
    (known,) = kept.take()
    assert (known.answered, known.errors, len(known.latency_us)) == (1, {"LATE": 1}, 1)
    assert [answer.body for answer in kept.answers] == [b"a"]


def test_first_text_of_each_status_is_kept() -> None:
    kept = tally(deadline_s=1.0)
    for text in (b"first", b"second"):
        called(kept, EPOCH, 0.01, Reply("UNAVAILABLE", text))
    called(kept, EPOCH, 0.01, Reply("HTTP 500", b"boom"))
    called(kept, EPOCH, 2.0, Reply("", b"an answer is no text"))
    assert kept.error_texts == {"UNAVAILABLE": "first", "HTTP 500": "boom", "LATE": ""}


def test_answers_of_the_warm_up_are_not_kept() -> None:
    kept = tally()
    called(kept, EPOCH - 1.0, 0.01, Reply("", b"a"))
    called(kept, EPOCH, 0.01, Reply("", b"a"))
    assert kept.answers == [Answer(0, (), b"a", 1)]


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from([b"a", b"b", b"cc", b""]))), st.integers(0, 5))
def test_each_answer_is_counted_once(given_answers: list[tuple[int, bytes]], most: int) -> None:
    answers = Answers(most, 1000)
    for payload, body in given_answers:
        answers.add(payload, Reply("", body))
    kept = {(one.payload, one.body): one.count for one in answers.kept}
    assert len(kept) == len(answers.kept) == min(most, len(set(given_answers)))
    for key, count in kept.items():
        assert count == given_answers.count(key)
    assert sum(kept.values()) + answers.lost == len(given_answers)


def test_bytes_of_answers_are_bounded() -> None:
    answers = Answers(100, 10)
    for place in range(3):
        answers.add(place, Reply("", b"12345"))
    answers.add(0, Reply("", b"12345"))
    answers.add(2, Reply("", b""))
    assert [(one.payload, one.body, one.count) for one in answers.kept] == [
        (0, b"12345", 2),
        (1, b"12345", 1),
        (2, b"", 1),
    ]
    assert answers.lost == 1


def test_headers_are_those_of_the_first() -> None:
    answers = Answers(5, 100)
    answers.add(0, Reply("", b"x", (("date", "1"),)))
    answers.add(0, Reply("", b"x", (("date", "2"),)))
    assert answers.kept == [Answer(0, (("date", "1"),), b"x", 2)]
