"""Documents as `hotgraph loadtest --json` writes them, of one server whose work takes a fixed time.

M/D/1 with an edge: a call that finds `EDGE` others waiting is refused. No clock: a seed gives the same again.
"""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hotgraph_client.loadtest.document import Document, Moment, Step, Tried

SERVICE_MS = 1.0
OVERHEAD_MS = 0.6
EDGE = 64
SHARES = (*(step / 40 for step in range(40)), 0.98, 0.985, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999, 0.99999)

Latencies = NDArray[np.float64]


def ramp() -> Document:
    """Eight rates, the last two of them past the knee, at which calls are refused; the last is void."""
    rates = (100, 200, 400, 600, 750, 900, 1050, 1200)
    steps = [open_step(rate, seed=place) for place, rate in enumerate(rates)]
    void = open_step(1500, seed=20)
    void["void"], void["void_why"] = True, "the sender's lag (p99 6.2 ms) is 11 % of the p99 that it measured"
    void["lag_ms"] = {"p50": 1.4, "p99": 6.2, "max": 31.0}
    return document(*steps, void)


def twelve_steps() -> Document:
    """Many steps, all of them kept up with, each three times."""
    return document(
        *(repeated(open_step(rate, seed=rate), 3) for rate in range(50, 650, 50)),
        model="mobilenet_v2",
        repeats=3,
    )


def one_step() -> Document:
    """A rate, and nothing about the server."""
    step = open_step(500, seconds=20, seed=3)
    del step["server"]
    made = document(step, model="digits")
    del made["machine"]["server"]
    return made


def closed_loop() -> Document:
    """One, two, ... 64 callers."""
    steps = []
    for callers in (1, 2, 4, 8, 16, 32, 64):
        answered = 1000 / SERVICE_MS * callers / (callers + 1.2)
        rng = np.random.default_rng(callers)
        mean = callers / answered * 1000
        latencies = mean * rng.gamma(40, 1 / 40, int(answered * 10))
        seconds = np.sort(rng.uniform(0, 10, len(latencies)))
        step = measured(
            seconds, latencies, np.full(len(seconds), "", dtype=object), answered, 10, service_wait=mean * 0.5
        )
        step["label"] = f"{callers} callers"
        step["kind"], step["concurrency"] = "closed", callers
        steps.append(step)
    made = document(*steps, model="digits")
    made["load"] |= {"kind": "closed", "arrivals": "closed"}
    return made


def search(*, held: bool = True, need: float | None = None) -> Document:
    """The search of the highest rate that keeps an objective."""
    rates = (200, 400, 800, 1600, 1000, 900, 850, 875)
    steps = [open_step(rate, seed=rate) for rate in rates]
    steps.append(repeated(open_step(875, seed=9), 5))
    steps[-1]["label"] = "875/s, to confirm"
    made = document(*steps)
    limit = 17.0
    tried: list[Tried] = []
    for step in steps:
        p99 = step["latency_ms"]["p99"]
        kept = p99 < limit and not step["errors"]
        why = "" if kept else f"p99 was {p99:.1f} ms"
        tried.append({"rate_per_s": step["offered_per_s"], "held": kept and held, "why": why})
    best = max((one["rate_per_s"] for one in tried if one["held"]), default=0)
    made["slo"] = {
        "text": "p99<17ms,errors<0.1%",
        "rate_per_s": best,
        "confirmed": held,
        "need_per_s": need,
        "tried": tried,
    }
    return made


def nothing_but_errors() -> Document:
    """A server that is not there."""
    count, seconds = 3000, 10
    at = np.sort(np.random.default_rng(1).uniform(0, seconds, count))
    what = np.full(count, "UNREACHABLE", dtype=object)
    what[: count // 5] = "UNAVAILABLE"
    step = measured(at, np.zeros(count), what, 300, seconds)
    del step["server"]
    step["error_texts"] = {
        "UNREACHABLE": "[Errno 111] Connection refused",
        "UNAVAILABLE": "no healthy upstream",
    }
    return document(step)


def wrong_answers() -> Document:
    """A server that answers at once, and not always right."""
    step = open_step(400, seed=2)
    step["wrong"] = 12
    step["wrong_why"] = (
        "`probabilities` differs by up to 0.31 from the first answer to the same input (item 3)"
    )
    step["unchecked"] = 40
    return document(step, model="digits")


def baseline() -> Document:
    """What `ramp` found on another machine, with a slower server."""
    made = document(*(open_step(rate, seed=rate, slower=1.25) for rate in (100, 200, 400, 600, 750, 900)))
    made["started"] = "2026-11-02T08:00:00Z"
    made["machine"] |= {"cpu": "AMD EPYC 7B13", "cores": 4, "hotgraph": "0.17.0"}
    return made


def tuned() -> Document:
    """What `hotgraph tune` writes: its findings, and the steps that confirmed them."""
    made = document(*(open_step(rate, seed=rate) for rate in (800, 801, 802)), model="mobilenet_v2")
    for step, label in zip(made["steps"], ("A", "B", "defaults"), strict=True):
        step["label"] = label
    candidates: list[dict[str, Any]] = []
    rng = np.random.default_rng(4)
    for place in range(60):
        wait, rows = float(rng.choice([0, 0.5, 1, 2, 5])), int(rng.choice([4, 8, 16, 32, 64]))
        p50 = 4 + wait + 40 / rows + float(rng.uniform(0, 3))
        candidates.append(
            {
                "settings": {
                    "max_batch_size": rows,
                    "max_wait_ms": wait,
                    "executors": int(rng.choice([1, 2])),
                },
                "label": f"C{place}",
                "default": False,
                "pareto": False,
                "predicted": {
                    "p50_ms": p50,
                    "p99_ms": p50 * float(rng.uniform(1.6, 2.4)),
                    "goodput_per_s": min(800.0, 500 + 8 * rows + float(rng.uniform(0, 60))),
                    "duty": 0.95 - rows / 200 - wait / 40,
                    "rows_per_run": 1 + rows / 8,
                },
                "measured": None,
            }
        )
    for one in candidates:
        one["pareto"] = not any(_beats(other["predicted"], one["predicted"]) for other in candidates)
    names = iter(("A", "B", "D"))
    for one in sorted(
        (one for one in candidates if one["pareto"]), key=lambda one: one["predicted"]["p99_ms"]
    )[:3]:
        one["label"] = next(names)
        one["measured"] = {
            "p50_ms": one["predicted"]["p50_ms"] * 1.06,
            "p99_ms": one["predicted"]["p99_ms"] * 1.12,
            "achieved_per_s": 799.2,
            "errors_share": 0.0002,
        }
    candidates[7] |= {
        "label": "defaults",
        "default": True,
        "measured": {"p50_ms": 9.9, "p99_ms": 24.0, "achieved_per_s": 798.0, "errors_share": 0.0},
    }
    made["tune"] = {
        "model": "mobilenet_v2",
        "rate_per_s": 800,
        "slo": "p99<20ms",
        "costs": [
            {"plan": plan, "rows": rows, "ms": (base + each * rows**0.9)}
            for plan, base, each in (("graph", 2.0, 0.55), ("XLA", 3.0, 0.31), ("one thread", 1.4, 0.9))
            for rows in (1, 2, 4, 8, 16, 32, 64)
        ],
        "candidates": candidates,
        "best": "A",
        "verdict": "A is predicted at p99 14.1 ms and was measured at 15.8 ms; the defaults at 24.0 ms.",
        "replicas": [
            {
                "replicas": count,
                "size": size,
                "predicted_p99_ms": 60.0 / count / cores,
                "low_ms": 52.0 / count / cores,
                "high_ms": 71.0 / count / cores,
                "holds": 71.0 / count / cores < 20,
            }
            for size, cores in (("2 cores", 1), ("4 cores", 1.8))
            for count in (1, 2, 3, 4)
        ],
    }
    return made


def _beats(one: dict[str, float], other: dict[str, float]) -> bool:
    names = (("p99_ms", 1), ("duty", 1), ("goodput_per_s", -1))
    return one != other and all(sign * one[name] <= sign * other[name] for name, sign in names)


HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u2028\"'&{{$body}}\x00"
"""A name that tries whatever a name can."""


def hostile() -> Document:
    """Names that try to be markup, a script or a template, wherever a name from outside may stand."""
    made = ramp()
    for key in ("command", "target", "protocol", "model", "version", "signature"):
        made[key] = HOSTILE
    made["machine"] = {"cpu": HOSTILE, HOSTILE: 1, "server": {"name": HOSTILE, "version": HOSTILE}}
    made["input"] = {"source": HOSTILE, "rows": {HOSTILE: 1.0}}
    made["load"][HOSTILE] = HOSTILE
    for step in made["steps"]:
        step["label"] = HOSTILE
        step["errors"] = {HOSTILE: 3}
        step["error_texts"] = {HOSTILE: HOSTILE}
        step["void_why"] = step["wrong_why"] = HOSTILE
        step["wrong"] = 1
        step["server"]["source"] = HOSTILE
        for moment in step["over_time"]:
            moment["errors"] = {HOSTILE: 1}
    made["slo"] = {
        "text": HOSTILE,
        "rate_per_s": 5.0,
        "confirmed": False,
        "tried": [{"rate_per_s": 5.0, "held": True, "why": HOSTILE}],
    }
    made["tune"] = {**tuned()["tune"], "model": HOSTILE, "slo": HOSTILE, "verdict": HOSTILE, "best": HOSTILE}
    for one in made["tune"]["candidates"]:
        one["label"], one["settings"] = HOSTILE, {HOSTILE: HOSTILE}
    for one in made["tune"]["costs"]:
        one["plan"] = HOSTILE
    for one in made["tune"]["replicas"]:
        one["size"] = HOSTILE
    return made


def document(*steps: Step, model: str = "resnet50", repeats: int = 1) -> Document:
    """A document of these steps."""
    return {
        "hotgraph_loadtest": 1,
        "started": "2026-11-30T09:41:07Z",
        "command": f"hotgraph loadtest 127.0.0.1:8500 {model} --rate 100..1500 --duration 10 --seed 1",
        "target": "127.0.0.1:8500",
        "protocol": "v2 over gRPC",
        "model": model,
        "version": "1",
        "signature": "serving_default",
        "machine": {
            "cpu": "AMD EPYC 9B14",
            "cores": 2,
            "memory_gib": 7.6,
            "system": "Linux 6.1.0 (Debian 12)",
            "python": "3.11.7",
            "hotgraph": "0.18.0",
            "server": {"name": "hotgraph", "version": "0.18.0"},
        },
        "input": {"source": "made from metadata", "items": 16, "rows": {"1": 0.5, "4": 0.5}, "bytes": 3210.5},
        "load": {
            "kind": "open",
            "arrivals": "poisson",
            "seconds": 10,
            "warm_up_s": 2.0,
            "repeats": repeats,
            "processes": 1,
            "connections": 4,
            "deadline_ms": None,
            "check": "first",
        },
        "steps": copy.deepcopy(list(steps)),
    }


def open_step(rate: float, *, seconds: int = 10, seed: int = 1, slower: float = 1.0) -> Step:
    """Calls at a rate that come when they like, and one server that takes them in turn."""
    rng = np.random.default_rng(seed)
    at = np.sort(rng.uniform(0, seconds, int(rate * seconds)))
    latencies, what = np.zeros(len(at)), np.full(len(at), "", dtype=object)
    service, free, waiting = SERVICE_MS * slower / 1000, 0.0, 0.0
    for place, moment in enumerate(at):
        begins = max(moment, free)
        if begins - moment > EDGE * service:
            what[place] = "RESOURCE_EXHAUSTED" if rng.random() < 0.8 else "DEADLINE_EXCEEDED"
            continue
        free = begins + service
        waiting += begins - moment
        latencies[place] = (free - moment) * 1000 + OVERHEAD_MS * rng.gamma(6, 1 / 6)
    served = max(1, int((what == "").sum()))
    return measured(at, latencies, what, rate, seconds, service_wait=waiting / served * 1000)


def measured(
    at: Latencies,
    latencies: Latencies,
    what: NDArray[Any],
    rate: float,
    seconds: int,
    service_wait: float = 0.0,
) -> Step:
    """A step of calls that were due `at` these seconds, and took so long or ended with `what`."""
    good = what == ""
    errors = Counter(str(one) for one in what[~good])
    lag = np.random.default_rng(int(rate)).gamma(2, 0.06, max(1, len(at)))
    step: Step = {
        "label": f"{rate:g}/s",
        "kind": "open",
        "concurrency": None,
        "repeats": 1,
        "seconds": float(seconds),
        "offered_per_s": float(rate),
        "achieved_per_s": int(good.sum()) / seconds,
        "rows_per_s": int(good.sum()) * 2.5 / seconds,
        "calls": len(at),
        "latency_ms": percentiles(latencies[good]),
        "distribution": distribution(latencies[good]),
        "histogram": "",
        "errors": dict(errors),
        "error_texts": {
            status: f"{status.lower()}: the queue of resnet50 is full (64 calls)" for status in errors
        },
        "wrong": 0,
        "wrong_why": "",
        "unchecked": 0,
        "lag_ms": {
            "p50": float(np.median(lag)),
            "p99": float(np.quantile(lag, 0.99)),
            "max": float(lag.max()),
        },
        "void": False,
        "void_why": "",
        "generator_cores": 0.04 + rate / 4000,
        "over_time": [moment(second, at, latencies, what, lag) for second in range(seconds)],
        "spread": {},
    }
    rows = 1 + min(rate, 1000) / 400
    step["server"] = {
        "source": "statistics",
        "rows_per_run": rows,
        "queue_wait_ms": service_wait,
        "run_ms": SERVICE_MS,
        "runs_per_s": step["achieved_per_s"] / rows,
        "duty": min(1.0, rate / 1000),
        "over_time": [
            {
                "at_s": second + 0.5,
                "calls_per_s": float(one["answered"]),
                "rows_per_run": rows * (1 + 0.1 * np.sin(second)),
                "queue_wait_ms": service_wait * (1 + 0.3 * np.cos(second)),
                "run_ms": SERVICE_MS * (1 + 0.02 * np.sin(second)),
            }
            for second, one in enumerate(step["over_time"])
        ],
    }
    return step


def moment(second: int, at: Latencies, latencies: Latencies, what: NDArray[Any], lag: Latencies) -> Moment:
    within = (at >= second) & (at < second + 1)
    good = within & (what == "")
    found = latencies[good]
    return {
        "at_s": second,
        "due": int(within.sum()),
        "answered": int(good.sum()),
        "p50_ms": float(np.median(found)) if len(found) else None,
        "p99_ms": float(np.quantile(found, 0.99)) if len(found) else None,
        "max_ms": float(found.max()) if len(found) else None,
        "lag_p99_ms": float(np.quantile(lag[within], 0.99)) if within.any() else None,
        "errors": dict(Counter(str(one) for one in what[within & (what != "")])),
    }


def percentiles(latencies: Latencies) -> dict[str, float]:
    if not len(latencies):
        return {}
    named = {f"p{100 * share:g}": float(np.quantile(latencies, share)) for share in (0.5, 0.9, 0.99, 0.999)}
    return {"mean": float(latencies.mean()), **named, "max": float(latencies.max())}


def distribution(latencies: Latencies) -> list[tuple[float, float]]:
    if not len(latencies):
        return []
    return [(share, float(np.quantile(latencies, share))) for share in SHARES]


def repeated(step: Step, times: int) -> Step:
    """The same step, as if it had been run so often."""
    made = copy.deepcopy(step)
    made["repeats"] = times
    made["spread"] = {
        name: {"median": value, "least": value * 0.96, "greatest": value * 1.07}
        for name, value in (
            ("p50_ms", step["latency_ms"]["p50"]),
            ("p99_ms", step["latency_ms"]["p99"]),
            ("achieved_per_s", step["achieved_per_s"]),
        )
    }
    return made
