"""Errors as gRPC statuses."""

from __future__ import annotations

import logging

import pytest

from hotgraph_server.errors import CallError, InternalError, InvalidCall, QueueFull
from hotgraph_server.transport.status import as_call_error, code_of, details_of, trailers_of


def test_call_error_stays_what_it_is_and_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    error = InvalidCall("wrong")
    assert as_call_error(error) is error
    assert not caplog.records


@pytest.mark.parametrize("error", [ValueError("secret"), KeyError("secret"), MemoryError(), AssertionError()])
def test_any_other_error_is_logged_whole_and_becomes_an_internal_one(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        sent = as_call_error(error)
    assert type(sent) is InternalError
    assert "secret" not in details_of(sent)
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[1] is error


@pytest.mark.parametrize("length", [0, 1, 1023, 1024])
def test_text_up_to_the_limit_is_sent_whole(length: int) -> None:
    assert details_of(InvalidCall("x" * length)) == "x" * length


@pytest.mark.parametrize("length", [1025, 5000, 2**20])
def test_longer_text_is_cut_and_marked(length: int) -> None:
    assert details_of(InvalidCall("x" * length)) == "x" * 1024 + "...TRUNCATED"


@pytest.mark.parametrize("character", ["é", "€", "\U0001f600"])
@pytest.mark.parametrize("before", range(4))
def test_text_of_any_script_is_cut_by_bytes_between_characters(character: str, before: int) -> None:
    sent = details_of(InvalidCall("x" * before + character * 5000))
    kept = sent.removesuffix("...TRUNCATED")
    assert kept != sent
    assert kept == "x" * before + character * (len(kept) - before)
    assert 1024 - len(character.encode()) < len(kept.encode()) <= 1024


def test_text_that_is_no_unicode_is_sent_nevertheless() -> None:
    assert details_of(InvalidCall("broken \udcff text")) == "broken ? text"


def test_only_errors_that_know_when_to_come_again_say_so() -> None:
    assert trailers_of(InvalidCall("wrong")) == ()
    assert trailers_of(QueueFull("the queue", 3, 3)) == (("grpc-retry-pushback-ms", "50"),)


def test_code_is_the_errors_own() -> None:
    for kind in (InvalidCall("wrong"), QueueFull("the queue", 3, 3), InternalError()):
        assert isinstance(kind, CallError)
        assert code_of(kind) is kind.status
