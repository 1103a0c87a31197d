"""What a JSON request means, told by the text around its one list of values.

Callers send the same text again and again with other values in it, as they send the same message over gRPC
(protocols/template.py). Of a text that was read by the full path this keeps what stands before the values and
behind them, and what it was found to mean:

    {"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":  [0.5,1,2]  }]}
    ----------------------- before -----------------------------  - values -  behind

A text with the same before and behind means the same, if what lies between is one JSON value:

1. Where a value may stand in JSON any value may, and changes nothing of how the rest is read (RFC 8259,
   section 2). So it is enough to read what lies between, and to see that it is one value and nothing more.
2. That the place is one where a value stands, and that of the input's data, is tried when a form is learnt:
   with null in that place the text reads the same, but that the data are null.

What depends on something else than the text, such as which version is live, is asked with each call.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Hashable
from typing import Any, Generic, NamedTuple, TypeVar

import orjson

Meaning = TypeVar("Meaning")

MAX_AROUND_BYTES = 4096
"""With more around its values a text is not worth comparing, nor keeping."""

MAX_FORMS = 64
MAX_OF_A_KEY = 4

# So a caller that never sends the same form twice pays for learning with one text in this many.
_MAX_PAUSE = 256

_DATA = b'"data"'
_COLON = re.compile(rb"[ \t\r\n]{0,16}:[ \t\r\n]{0,16}")


class Form(NamedTuple, Generic[Meaning]):
    """See the head of this file."""

    before: bytes
    behind: bytes
    meaning: Meaning


class JsonForms(Generic[Meaning]):
    """The forms that are known, by what else a request says: bounded, and any thread may call everything.

    `find` takes no lock: it reads one dict entry, whose value is a tuple that is never changed.
    """

    def __init__(self) -> None:
        self._by_key: dict[Hashable, tuple[Form[Meaning], ...]] = {}
        self._learning = threading.Lock()  # guards what follows, and changes
        self._pause = 0
        self._passing = 0

    def __len__(self) -> int:
        return sum(map(len, self._by_key.values()))

    def find(self, key: Hashable, text: bytes | bytearray) -> tuple[Meaning, memoryview] | None:
        """What a text means, and its values; None: no form that is known fits."""
        for form in self._by_key.get(key, ()):
            before, behind = len(form.before), len(form.behind)
            if text.startswith(form.before) and text.endswith(form.behind, before):
                self._pause = self._passing = 0  # without the lock: what could be lost is one doubling
                return form.meaning, memoryview(text)[before : len(text) - behind]
        return None

    def wants_more(self) -> bool:
        """Shall the text at hand be learnt? The answer is for one."""
        with self._learning:
            if self._passing > 0:
                self._passing -= 1
                return False
            # Whatever comes of it: the next one is tried sooner only if what was learnt is used.
            self._passing = self._pause = min(2 * self._pause + 1, _MAX_PAUSE)
            return True

    def add(self, key: Hashable, form: Form[Meaning]) -> None:
        """Take in what was learnt; the oldest of a key goes, and the key that was learnt first."""
        with self._learning:
            forms = [one for one in self._by_key.get(key, ()) if one[:2] != form[:2]]
            self._by_key[key] = (*forms[-MAX_OF_A_KEY + 1 :], form)
            while len(self) > MAX_FORMS:
                del self._by_key[next(iter(self._by_key))]


def around(text: bytes) -> tuple[bytes, bytes] | None:
    """What stands before the one list of values of a request and behind it; None: it has no such form.

    Args:
        text: an infer request that was read.
    """
    at = text.find(_DATA)
    if at < 0 or not text.isascii() or text.find(_DATA, at + 1) >= 0:
        return None
    colon = _COLON.match(text, at + len(_DATA))
    if colon is None:
        return None
    try:
        _, end = json.JSONDecoder().raw_decode(text.decode(), colon.end())
        before, behind = text[: colon.end()], text[end:]
        whole, hollow = orjson.loads(text), orjson.loads(before + b"null" + behind)
    except (ValueError, RecursionError):
        return None
    if len(before) + len(behind) > MAX_AROUND_BYTES or not _is_hollow(whole, hollow):
        return None
    return before, behind


def _is_hollow(whole: Any, hollow: Any) -> bool:
    """Is it the same, but that the data of its one input are null?"""
    (of_whole, *more), (of_hollow, *_) = whole["inputs"], hollow["inputs"]
    if more or of_hollow.pop("data", 0) is not None:
        return False
    del of_whole["data"]
    return bool(whole == hollow)
