"""The calls that failed last, with what their callers were told, and how many have failed so far. Plain
values and one lock; no clock but the wall's.

Bounded: so many different errors, each text cut. Errors that differ in their numbers alone (how late, how
full) are one, with the last one's words and a count, so that a flood of refusals does not wash away what is
rare. What is kept is what the caller got to read, and nothing of its inputs besides.

Answered calls never come here.
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

KEPT = 50
"""Different errors that are kept."""

MAX_TEXT = 300
"""Characters of a text; names are callers' too and are cut shorter."""

_MAX_NAME = 100
_DIGITS = re.compile(r"[0-9]+")


class LastError(NamedTuple):
    """An error, and how often it came.

    Attributes:
        at_s: when the last of them came, seconds since the epoch.
        model, version: whose calls; version 0: the call did not get as far as a version.
        signature: empty: the call did not get as far.
        status: name of gRPC's status code.
        text: what the last caller was told; of several lines the first.
        times: how often, since it came first.
    """

    at_s: float
    model: str
    version: int
    signature: str
    status: str
    text: str
    times: int


class LastErrors:
    """Any thread adds, any thread reads."""

    def __init__(self, kept: int = KEPT, wall_clock: Callable[[], float] = time.time) -> None:
        self._kept = kept
        self._wall_clock = wall_clock
        self._lock = threading.Lock()  # guards the table: the one that came last is last in it
        self._found: dict[tuple[str, str, str, str], LastError] = {}
        self._counts = Counter[tuple[str, str]]()

    def add(
        self, status: str, text: str, *, model: str = "", signature: str = "", counted_for: str = ""
    ) -> None:
        """Note that a call has failed.

        Args:
            status: name of its status code.
            text: of its error.
            model: as the caller named it, where the reader does not know it.
            signature: see LastError.
            counted_for: see `counts`; whose choice is bounded, unlike callers' names.
        """
        text = _cut(text.partition("\n")[0], MAX_TEXT)
        model = _cut(model, _MAX_NAME)
        key = (model, signature, status, without_numbers(text))
        now = self._wall_clock()
        with self._lock:
            self._counts[counted_for, status] += 1
            before = self._found.pop(key, None)
            times = before.times + 1 if before else 1
            self._found[key] = LastError(now, model, 0, signature, status, text, times)
            if len(self._found) > self._kept:
                del self._found[next(iter(self._found))]

    @property
    def counts(self) -> dict[tuple[str, str], int]:
        """How many calls have failed so far, by what they were counted for and the names of their status
        codes."""
        with self._lock:
            return dict(self._counts)

    def latest(self, model: str = "", version: int = 0) -> list[LastError]:
        """The one that came last first.

        Args:
            model, version: whose they are, if all of them are one version's.
        """
        with self._lock:
            found = list(self._found.values())
        found.reverse()
        return [one._replace(model=model, version=version) for one in found] if model else found


def without_numbers(text: str) -> str:
    """What is the same in texts that differ in their numbers."""
    return _DIGITS.sub("0", text)


def latest_of(several: Iterable[Sequence[LastError]], kept: int = KEPT) -> list[LastError]:
    """Of several tables the `kept` that came last, the last first."""
    return sorted((one for table in several for one in table), key=lambda one: -one.at_s)[:kept]


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."
