"""log_settings.py: what a change lets through, how it looks, and that it can be taken back."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Callable, Iterator

import pytest

from hotgraph_server.observability.log_settings import ISO8601, MAX_LINES, WHILE_S, Limit, LogConfig, Logs

OURS = logging.getLogger("hotgraph_server.test_logs")
OTHERS = logging.getLogger("somebody.else")


class Written:
    """A handler as the command sets it up, and what comes of it."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.handler = logging.StreamHandler(self.stream)
        self.handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
        self.logs = Logs([self.handler])

    def lines(self) -> list[str]:
        """What is written of one line of each kind."""
        self.stream.truncate(0)
        self.stream.seek(0)
        OURS.debug("more")
        OURS.info("told")
        OURS.warning("odd")
        OTHERS.warning("theirs")
        OURS.error("bad")
        return self.stream.getvalue().splitlines()


@pytest.fixture
def written() -> Iterator[Written]:
    root, ours = logging.getLogger(), logging.getLogger("hotgraph_server")
    before = ours.level
    ours.setLevel(logging.INFO)
    written = Written()
    root.addHandler(written.handler)
    yield written
    root.removeHandler(written.handler)
    ours.setLevel(before)


ALL = ["INFO told", "WARNING odd", "WARNING theirs", "ERROR bad"]


def test_what_holds_at_first_is_what_the_process_has_set_up(written: Written) -> None:
    assert written.logs.config == LogConfig()
    logging.getLogger("hotgraph_server").setLevel(logging.DEBUG)
    assert Logs([]).config == LogConfig(verbose=1)
    logging.getLogger("hotgraph_server").setLevel(logging.WARNING)
    assert Logs([]).config == LogConfig(info=False)


@pytest.mark.parametrize(
    ("config", "lines"),
    [
        (LogConfig(), ALL),
        (LogConfig(info=False), ALL[1:]),
        (LogConfig(warning=False), [ALL[0], ALL[3]]),
        (LogConfig(error=False), ALL[:3]),
        (LogConfig(info=False, warning=False, error=False), []),
        (LogConfig(verbose=2), ["DEBUG more", *ALL]),
        (LogConfig(verbose=1, info=False), ["DEBUG more", *ALL[1:]]),
    ],
)
def test_only_what_is_switched_on_is_written(written: Written, config: LogConfig, lines: list[str]) -> None:
    written.logs.change(config)
    assert written.logs.config == config
    assert written.lines() == lines


def test_change_takes_the_place_of_the_one_before(written: Written) -> None:
    written.logs.change(LogConfig(error=False, format=ISO8601))
    written.logs.change(LogConfig(info=False))
    assert written.lines() == ALL[1:]


def test_date_and_time_are_utc_where_the_format_says_so(written: Written) -> None:
    written.logs.change(LogConfig(format=ISO8601))
    first = written.lines()[0]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ I told", first)


def test_restored_log_is_as_it_was(written: Written) -> None:
    formatter = written.handler.formatter
    written.logs.change(LogConfig(info=False, error=False, verbose=3, format=ISO8601))
    written.logs.restore()
    assert written.lines() == ALL
    assert written.handler.formatter is formatter
    assert not written.handler.filters
    written.logs.restore()


class Limited:
    """A handler with a limit, whose time is the test's."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.now = 0.0
        self.due: list[tuple[float, Callable[[], None]]] = []
        handler = logging.StreamHandler(self.stream)
        handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
        handler.addFilter(Limit(handler, self._later, lambda: self.now))
        self.log = logging.Logger("limited")
        self.log.addHandler(handler)

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        self.due.append((self.now + seconds, act))

    def until(self, now: float) -> None:
        self.now = now
        for moment, act in list(self.due):
            if moment <= now:
                self.due.remove((moment, act))
                act()

    def lines(self) -> list[str]:
        found = self.stream.getvalue().splitlines()
        self.stream.truncate(0)
        self.stream.seek(0)
        return found


MAX = MAX_LINES[logging.WARNING]


def test_lines_of_one_place_are_limited_and_the_rest_is_one_line() -> None:
    limited = Limited()
    for number in range(MAX + 1234):
        limited.log.warning("caller %d", number)
    limited.log.warning("of another place")
    assert limited.lines() == [
        *(f"WARNING caller {number}" for number in range(MAX)),
        "WARNING of another place",
    ]
    limited.until(WHILE_S)
    assert limited.lines() == [f"WARNING ... 1,234 more of these: caller {MAX + 1233}"]
    limited.until(10 * WHILE_S)
    assert limited.lines() == []


def test_lines_whose_text_is_the_callers_are_of_one_kind() -> None:
    limited = Limited()
    for number in range(MAX + 2):
        limited.log.error(f"{number}\nand a stack")
    limited.until(WHILE_S)
    assert limited.lines()[-1] == f"ERROR ... 2 more of these: {MAX + 1}"


def test_each_while_has_its_lines() -> None:
    limited = Limited()
    for begin in range(3):
        limited.until(begin * WHILE_S)
        for _ in range(MAX):
            limited.log.warning("again")
    assert limited.lines() == ["WARNING again"] * 3 * MAX
    assert not limited.due


def test_information_has_more_room_and_verbosity_all_of_it() -> None:
    limited = Limited()
    for _ in range(2 * MAX):
        limited.log.info("a model")
    for _ in range(2 * MAX_LINES[logging.INFO]):
        limited.log.debug("more")
    assert len(limited.lines()) == 2 * MAX + 2 * MAX_LINES[logging.INFO]
