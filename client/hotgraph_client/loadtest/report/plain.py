"""The result in a few lines of Markdown, for a pull request or a log. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from ..document import Document, Step
from . import judging
from .charts import label
from .figures import count, counts, number
from .judging import percentile, steps_of

_COLUMNS = ("step", "offered/s", "answered/s", "p50, ms", "p99, ms", "p99.9, ms", "errors", "wrong")


def plain(document: Document) -> str:
    """What was tested, what it comes to, and a line for each step; ends with a newline."""
    model = document.get("model", "a model")
    steps = steps_of(document)
    lines = [f"**{_cell(model)}** at {_cell(document.get('target', 'a target that is not told'))}", ""]
    lines += [_cell(judging.judge(document).sentence), ""]
    if steps:
        lines += [_line(_COLUMNS), _line(["---", *["---:"] * (len(_COLUMNS) - 1)])]
        lines += [_line(_cells(step)) for step in steps]
    void = [step for step in steps if step.get("void")]
    lines += ["", *(f"{_cell(label(step))} is void: {_cell(step.get('void_why', ''))}" for step in void)]
    return "\n".join(lines).rstrip() + "\n"


def _cells(step: Step) -> Iterable[str]:
    yield label(step) + (" (void)" if step.get("void") else "")
    yield number(step.get("offered_per_s"))
    yield number(step.get("achieved_per_s"))
    for name in ("p50", "p99", "p99.9"):
        yield number(percentile(step, name))
    yield counts(step.get("errors") or {})
    yield count(step.get("wrong", 0))


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: object) -> str:
    """On one line, and no markup: names come from outside."""
    said = " ".join(str(text).split())
    return "".join(f"\\{one}" if one in "\\`*_[]<>|" else one for one in said)
