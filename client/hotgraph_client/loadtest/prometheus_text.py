"""Prometheus' text format, as far as counters of a server are read from it. Pure.

prometheus_client has a parser, but is no need of the client's; what is read here is a name, labels and a
number (https://prometheus.io/docs/instrumenting/exposition_formats/). A line that is none is passed over: the
page is another server's, and one metric of it that is odd does not make the others worthless.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_LINE = re.compile(
    r"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)"
    r"(?:\{(?P<labels>(?:[^\"}]|\"(?:[^\"\\]|\\.)*\")*)\})?"
    r"[ \t]+(?P<value>[^ \t]+)"
)
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")


class Sample(NamedTuple):
    """One line of the text."""

    name: str
    labels: Mapping[str, str]
    value: float


def samples(text: str) -> Iterator[Sample]:
    """Each number of the text with its name and its labels, in order."""
    for line in text.splitlines():
        match = _LINE.match(line.strip())
        if match is None:
            continue
        try:
            value = float(match["value"])
        except ValueError:
            continue
        found = _LABEL.findall(match["labels"] or "")
        yield Sample(match["name"], {name: _unescaped(label) for name, label in found}, value)


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda match: "\n" if match[1] == "n" else match[1], text)
