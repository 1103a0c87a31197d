"""Steps as lines of text: the table at the end, and what is said under it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .document import Document, Slo, Step

_SPARKS = "▁▂▃▄▅▆▇█"

HEADINGS = (
    *("load", "offered/s", "achieved/s", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms"),
    *("errors", "wrong", "lag ms", "rows/run", "wait ms"),
)
# In this order, where there is no room for all.
_MISSED_BEST = (
    "p99.9 ms",
    "p90 ms",
    "max ms",
    "wait ms",
    "rows/run",
    "wrong",
    "offered/s",
    "lag ms",
    "p50 ms",
)
_LATENCIES = ("p50", "p90", "p99", "p99.9", "max")


def cells(step: Step) -> list[str]:
    """One for each heading."""
    latency, server = step.get("latency_ms", {}), step.get("server", {})
    return [
        step["label"],
        rate(step["offered_per_s"]),
        rate(step["achieved_per_s"]) + (" VOID" if step["void"] else ""),
        *(number(latency.get(name)) for name in _LATENCIES),
        str(sum(step["errors"].values())),
        str(step["wrong"]),
        number(step["lag_ms"].get("p99")),
        number(server.get("rows_per_run")),
        number(server.get("queue_wait_ms")),
    ]


def table(steps: Sequence[Step], baseline: Sequence[Step] = ()) -> list[str]:
    """Lines, columns under their headings; with a baseline, how much p99 has changed against its steps."""
    rows = [list(HEADINGS), *(cells(step) for step in steps)]
    if baseline:
        earlier = {step["label"]: step for step in baseline}
        rows[0].append("p99 before")
        for row, step in zip(rows[1:], steps, strict=True):
            row.append(_change(step, earlier.get(step["label"])))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def columns_within(width: int, rows: Sequence[Sequence[str]], gap: int = 2) -> list[int]:
    """Which columns a terminal of so many characters has room for; what can be missed best goes first."""
    kept = list(range(len(HEADINGS)))
    widths = [max(len(row[column]) for row in (HEADINGS, *rows)) for column in kept]
    for heading in _MISSED_BEST:
        if sum(widths[column] + gap for column in kept) <= width:
            break
        kept.remove(HEADINGS.index(heading))
    return kept


def remarks(document: Document) -> list[str]:
    """What must be known beside the figures: the spread of repeats, void steps, errors by their texts, wrong
    answers, the server's memory, closed loops."""
    steps = document.get("steps", [])
    found = [_spread(step) for step in steps if step.get("spread")]
    found += [
        f"{step['label']}: {'void' if step['void'] else 'note'}: {step['void_why']}"
        for step in steps
        if step["void_why"]
    ]
    for status, text in _error_texts(steps).items():
        count = sum(step["errors"].get(status, 0) for step in steps)
        found.append(f"{count} x {status}{': ' if text else ''}{text}")
    wrong = next((step for step in steps if step["wrong"]), None)
    if wrong is not None:
        found.append(f"wrong answers: {wrong['wrong_why'] or 'not what the first ones were'}")
    memory = [step["server"]["resident_mib"] for step in steps if "resident_mib" in step.get("server", {})]
    if memory:
        found.append(
            f"the server's memory: {number(memory[0]['before'])} MiB before, "
            f"{number(max(one['most'] for one in memory))} at most, {number(memory[-1]['after'])} after"
        )
    if any(step["kind"] == "closed" for step in steps):
        found.append(
            "a closed loop: callers that wait send less, so these latencies leave out what others would have "
            "waited; use --rate to see how long calls take"
        )
    return [one_line(text) for text in found]


def one_line(text: str) -> str:
    """What others have said, as a line that does nothing to the terminal which shows it."""
    return "".join(one if one.isprintable() else "?" for one in " ".join(text.split()))


def promise_line(slo: Slo) -> str:
    """What a search found, in a sentence."""
    need = slo.get("need_per_s")
    if slo["rate_per_s"]:
        sure = "confirmed" if slo["confirmed"] else "not confirmed"
        found = f"{slo['text']}: holds at {rate(slo['rate_per_s'])}/s ({sure})"
    else:
        found = f"{slo['text']}: found no rate at which it holds"
    if need is not None:
        found += f", {'reaches' if is_enough(slo) else 'misses'} the {rate(need)}/s that are needed"
    return f"{found}; {slo['why']}" if slo.get("why") else found


def is_enough(slo: Slo) -> bool:
    """Whether the rate that is needed was shown to hold."""
    need = slo.get("need_per_s")
    return need is None or (slo["confirmed"] and slo["rate_per_s"] >= need)


def second_line(
    second: int, due: int, answered: int, p50_ms: float | None, p99_ms: float | None, lag_ms: float | None
) -> str:
    """A second as progress without a terminal tells it."""
    when = f"{second + 1} s" if second >= 0 else "warm-up"
    return (
        f"  {when:>8}  due {due}  answered {answered}  p50 {number(p50_ms)} ms  p99 {number(p99_ms)} ms  "
        f"lag {number(lag_ms)} ms"
    )


def sparkline(values: Iterable[float | None]) -> str:
    """A character for each value, as high as it is against the others; a gap where there is none."""
    found = list(values)
    most = max((value for value in found if value), default=0.0)
    if not most:
        return ""
    steps = len(_SPARKS)
    return "".join(
        " " if value is None else _SPARKS[min(int(value / most * steps), steps - 1)] for value in found
    )


def number(value: float | None) -> str:
    """Three digits, or a dash."""
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def rate(value: float) -> str:
    """Calls a second."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _change(step: Step, before: Step | None) -> str:
    now, then = (one.get("latency_ms", {}).get("p99") if one else None for one in (step, before))
    if now is None or not then:
        return "-"
    return f"{number(then)} ({100 * (now / then - 1):+.0f} %)"


def _spread(step: Step) -> str:
    parts = (
        f"{name} {number(of['median'])}{unit} ({number(of['least'])} to {number(of['greatest'])})"
        for key, name, unit in (
            ("p50_ms", "p50", " ms"),
            ("p99_ms", "p99", " ms"),
            ("achieved_per_s", "achieved", "/s"),
        )
        if (of := step["spread"].get(key))
    )
    return f"{step['label']}: median of {step['repeats']} runs (least to greatest): {', '.join(parts)}"


def _error_texts(steps: Sequence[Step]) -> dict[str, str]:
    found: dict[str, str] = {}
    for step in steps:
        for status in step["errors"]:
            text = step["error_texts"].get(status, "")
            found[status] = found.get(status) or " ".join(text.split())
    return found
