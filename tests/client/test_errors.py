"""errors.py: statuses, texts, pickling."""

from __future__ import annotations

import pickle

import grpc
import pytest

from hotgraph_client import Busy, HotgraphError, InvalidCall, NotFound, ServerFault
from hotgraph_client.errors import from_status


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_every_status_has_an_error_of_its_own_kind(code: grpc.StatusCode) -> None:
    error = from_status(code, "d", None, address="a:1", model="m")
    assert type(error) is not HotgraphError
    assert error.code is code


def test_text_is_made_from_the_fields() -> None:
    error = from_status(grpc.StatusCode.NOT_FOUND, "no such model", None, address="h:1", model="m")
    assert str(error) == "no such model (NOT_FOUND for model 'm' at h:1)"
    assert str(InvalidCall("ragged")) == "ragged"


def test_server_without_words_still_gives_a_text() -> None:
    error = from_status(grpc.StatusCode.UNKNOWN, None, None, address="h:1", model="")
    assert str(error) == "the server gave no reason for UNKNOWN (UNKNOWN at h:1)"
    assert isinstance(error, ServerFault)


@pytest.mark.parametrize(
    ("value", "pushback_ms"),
    [("250", 250), (b"250", 250), ("0", 0), ("-1", None), ("soon", None), ("", None)],
)
def test_pushback_is_read_only_where_it_is_a_time(value: str | bytes, pushback_ms: int | None) -> None:
    trailers = [("other", "7"), ("grpc-retry-pushback-ms", value)]
    error = from_status(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", trailers, address="h:1", model="m")
    assert isinstance(error, Busy)
    assert error.pushback_ms == pushback_ms


def test_errors_survive_pickling() -> None:
    """Worker processes hand their errors on."""
    error = from_status(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "full",
        [("grpc-retry-pushback-ms", "9")],
        address="h:1",
        model="m",
    )
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is Busy
    assert (str(copy), copy.code, copy.pushback_ms) == (str(error), error.code, 9)
    assert not isinstance(copy, NotFound)
