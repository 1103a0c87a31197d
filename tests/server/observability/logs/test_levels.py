"""levels.py: which loggers names mean, and what is set."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from hotgraph_server.observability.logs import levels

NAMES = ("", "hotgraph_server", "hotgraph_server.batching", "somebody.else")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = {name: logging.getLogger(name).level for name in NAMES}
    yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


def set_levels() -> list[int]:
    return [logging.getLogger(name).level for name in NAMES]


@pytest.mark.parametrize(
    ("name", "logger"),
    [
        ("batching", "hotgraph_server.batching"),
        ("batching.queue", "hotgraph_server.batching.queue"),
        ("calls", "hotgraph_server.calls"),
        ("access_log", "hotgraph_server.access_log"),
        ("hotgraph_server.batching", "hotgraph_server.batching"),
        ("grpc", "grpc"),
        ("somebody.else", "somebody.else"),
    ],
)
def test_parts_of_the_server_are_named_as_they_are(name: str, logger: str) -> None:
    assert levels.logger_of(name) == logger


def test_nothing_said_is_info_and_others_warnings() -> None:
    levels.apply({}, verbose=False)
    assert set_levels()[:2] == [logging.WARNING, logging.INFO]
    levels.apply({}, verbose=True)
    assert set_levels()[:2] == [logging.WARNING, logging.DEBUG]


def test_one_part_can_say_more_than_the_rest() -> None:
    levels.apply({"batching": logging.DEBUG, "": logging.ERROR, "somebody.else": logging.INFO}, verbose=True)
    assert set_levels() == [logging.ERROR, logging.ERROR, logging.DEBUG, logging.INFO]
