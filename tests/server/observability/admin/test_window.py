"""Who looks at the status hears of the last seconds, whoever looked before."""

from __future__ import annotations

from typing import Any

from hotgraph_server.observability.admin.window import Window
from hotgraph_server.statistics import Event


def status(now_s: float, ran_s: float = 0.0) -> dict[str, Any]:
    signature = {
        "name": "s",
        "alone": None,
        "runs": round(ran_s * 100),
        "rows": round(ran_s * 100),
        "answered": round(ran_s * 100),
        "failed": 0,
        "ran_s": ran_s,
        "waited_s": 0.0,
        "events": {event.name.lower(): 0 for event in Event},
    }
    process = dict.fromkeys(("cpu_s", "serving_cpu_s", "executors_cpu_s", "others_cpu_s"), 0.0)
    return {
        "now_s": now_s,
        "processes": 1,
        "process": {**process, "processors": 2},
        "models": [{"name": "m", "versions": [{"number": 1, "signatures": [signature]}]}],
    }


def share(told: dict[str, Any]) -> str:
    """What is said of the model."""
    (version,) = told["models"][0]["versions"]
    return version["limits"][0]["text"] if version["limits"] else ""


def test_first_look_says_nothing() -> None:
    told = Window().told(status(10.0))
    assert told["limits"] == []
    assert share(told) == ""


def test_two_looks_at_one_moment_are_one() -> None:
    window = Window()
    window.told(status(10.0))
    assert window.told(status(10.1, 0.1))["limits"] == []
    assert "50 %" in share(window.told(status(12.0, 1.0)))


def test_it_is_about_the_last_seconds() -> None:
    window = Window()
    # Half of the time for ten seconds, and nothing for ten more.
    for second in range(10):
        window.told(status(10.0 + second, second / 2))
    assert "50 %" in share(window.told(status(20.0, 5.0)))
    for second in range(9):
        window.told(status(21.0 + second, 5.0))
    assert share(window.told(status(30.0, 5.0))) == "idle: no calls"


def test_look_of_long_ago_is_forgotten() -> None:
    window = Window()
    window.told(status(10.0))
    assert window.told(status(100.0, 50.0))["limits"] == []


def test_process_that_was_started_anew_is_looked_at_anew() -> None:
    window = Window()
    window.told(status(1000.0, 500.0))
    assert window.told(status(5.0))["limits"] == []
    assert "40 %" in share(window.told(status(10.0, 2.0)))
