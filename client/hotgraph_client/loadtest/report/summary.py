"""The top of the page, which is read in five seconds. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ..document import Document
from . import comparing, judging
from .charts import label
from .figures import NONE, count, moment, ms, per_s, percent, plural, times
from .judging import Judgement, percentile, steps_of
from .markup import Markup, join, tag
from .tune_section import Tile, tune_tiles

_LONG = 14

MAX_VOID = 3
"""Steps whose reasons stand at the top; the table of the sender has all."""


def summary(document: Document, baseline: Document | None) -> Markup:
    """What was tested, what it comes to, and what makes that doubtful."""
    judgement = judging.judge(document)
    return join(
        [
            tag("p", *_what(document), class_="what"),
            tag("p", judgement.sentence, class_=f"verdict {judgement.tone}"),
            *(tag("div", *one, class_="note bad", role="note") for one in _loud(document)),
            *(tag("p", one, class_="note mixed", role="note") for one in _remarks(document)),
            *_against(document, baseline),
            *_tiles(document, judgement),
        ]
    )


def _what(document: Document) -> Iterator[object]:
    model = str(document.get("model", "a model"))
    version = document.get("version")
    yield tag("strong", f"{model}, version {version}" if version else model)
    yield f" at {document.get('target', 'a target that is not told')}"
    if protocol := document.get("protocol"):
        yield f", {protocol}"
    server = (document.get("machine") or {}).get("server") or {}
    if name := server.get("name"):
        yield f", {name} {server.get('version', '')}".rstrip()
    if started := document.get("started"):
        yield " \N{MIDDLE DOT} "
        yield tag("time", moment(str(started)), datetime=started)


def _loud(document: Document) -> Iterator[list[object]]:
    steps = steps_of(document)
    void = [step for step in steps if step.get("void")]
    if said := judging.void_sentence(steps):
        if (document.get("slo") or {}).get("rate_per_s"):
            said += " What was asked was kept all the same: lag makes latencies longer and never shorter."
        shown = void if len(void) <= MAX_VOID + 1 else void[:MAX_VOID]
        items = [tag("li", f"{label(step)}: {step.get('void_why') or 'why is not told'}") for step in shown]
        if len(shown) < len(void):
            items.append(tag("li", f"{len(void) - len(shown)} more: see The sender itself"))
        yield [tag("strong", said), tag("ul", *items)]
    wrong = [step for step in steps if step.get("wrong")]
    if wrong:
        items = [
            tag("li", f"{label(one)}: {count(one['wrong'])}, {one.get('wrong_why', '')}") for one in wrong
        ]
        yield [
            tag("strong", f"{plural(sum(one['wrong'] for one in wrong), 'wrong answer')}."),
            tag("ul", *items),
        ]


def _against(document: Document, baseline: Document | None) -> Iterator[Markup]:
    if baseline is None:
        return
    found = comparing.pairs(document, baseline)
    ratios = comparing.p99_ratios(found)
    if ratios:
        least, greatest = times(min(ratios)), times(max(ratios))
        said = f"p99 {least}" if least == greatest else f"p99 {least} to {greatest}"
        doubt = " (see the cautions there)" if comparing.cautions(document, baseline) else ""
        text = f"Against the baseline: {said} at {plural(len(ratios), 'matching step')}{doubt}."
        yield tag("p", text, class_="against")


def _tiles(document: Document, judgement: Judgement) -> Iterator[Markup]:
    tiles = tune_tiles(document["tune"]) if document.get("tune") else _step_tiles(document, judgement)
    made = [
        tag(
            "div",
            tag("dt", name),
            tag(
                "dd", value, tag("small", more) if more else "", class_="words" if len(value) > _LONG else ""
            ),
            class_="tile",
        )
        for name, value, more in tiles
    ]
    if made:
        yield tag("dl", *made, class_="tiles")


def _step_tiles(document: Document, judgement: Judgement) -> list[Tile]:
    steps = judging.sound(steps_of(document))
    if not steps:
        return []
    step = judgement.step
    closed = step is not None and judging.is_closed(step)
    errors, calls = judging.errors_of(steps).total(), sum(one.get("calls", 0) for one in steps)
    here = f"at {label(step)}" if step is not None else ""
    return [
        ("Highest throughput" if closed else "Highest rate that held", per_s(judgement.rate_per_s), ""),
        ("p50", ms(percentile(step, "p50")) if step else NONE, here),
        ("p99", ms(percentile(step, "p99")) if step else NONE, here),
        (
            "Errors",
            percent(judging.errors_share(step)) if step else NONE,
            f"{here}{'; ' if here else ''}{count(errors)} of {plural(calls, 'call')} in all",
        ),
        ("Wrong answers", count(sum(one.get("wrong", 0) for one in steps)), _checked(document)),
    ]


def _checked(document: Document) -> str:
    check = (document.get("load") or {}).get("check")
    if check in (None, "none"):
        return "answers were not checked"
    against = "the first answer to each input" if check == "first" else str(check)
    unchecked = sum(step.get("unchecked", 0) for step in judging.sound(steps_of(document)))
    return f"against {against}" + (f"; {count(unchecked)} not checked" if unchecked else "")


def _remarks(document: Document) -> Iterator[str]:
    # Of what a program of another version wrote: the field is young.
    if why := (document.get("slo") or {}).get("why"):
        yield str(why)
    if any(map(judging.is_closed, steps_of(document))):
        yield judging.CLOSED
