from __future__ import annotations

import json
import random

from fuzzing.rest_cases import REQUESTS, RestCases, changed, text_of


def test_a_case_follows_from_seed_and_number_alone() -> None:
    assert RestCases(1).case(7) == RestCases(1).case(7)
    assert RestCases(1).case(7) != RestCases(2).case(7)
    assert RestCases(1).case(7) != RestCases(1).case(8)


def test_the_requests_they_are_made_from_stay_as_they_are() -> None:
    before = json.dumps([request.body for request in REQUESTS])
    cases = RestCases(1)
    for number in range(300):
        cases.case(number)
    assert json.dumps([request.body for request in REQUESTS]) == before


def test_most_must_be_answered_and_some_lie_about_their_length() -> None:
    cases = [RestCases(1).case(number) for number in range(400)]
    assert 250 < sum(case.must_answer for case in cases) < 390
    for case in cases:
        head, _, body = b"".join(case.pieces).partition(b"\r\n\r\n")
        if case.must_answer and b"chunked" not in head:
            assert b"Content-Length: %d" % len(body) in head


def test_a_change_is_a_change_and_there_are_texts_that_are_no_json() -> None:
    broken = different = 0
    for number in range(300):
        body = {"instances": [1, [2, 3], {"b64": "Yg=="}]}
        text = text_of(changed(body, random.Random(number)))
        different += text != text_of({"instances": [1, [2, 3], {"b64": "Yg=="}]})
        try:
            json.loads(text, parse_constant=lambda name: int(name))
        except ValueError:
            broken += 1
    assert different > 280
    assert broken > 20
