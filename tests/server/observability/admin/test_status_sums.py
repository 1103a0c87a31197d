"""The live page's figures, of several processes."""

from __future__ import annotations

from typing import Any

from hotgraph_server.observability.admin.status_sums import summed


def status(runs: int, state: str = "live", versions: tuple[int, ...] = (1,), **more: Any) -> dict[str, Any]:
    signature = {
        "name": "s",
        "plan": "as saved",
        "runs": runs,
        "ran_s": runs / 2,
        "run_durations": [runs, 0],
        "events": {"expired": runs},
    }
    error = {
        **{"at_s": 100.0 + runs, "model": "m", "version": 1, "signature": "s", "status": "INTERNAL"},
        **{"text": f"broke after {runs} runs", "times": runs},
    }
    process = {"cpu_s": 2.0 * runs, "serving_cpu_s": None, "rss_bytes": 100, "processors": 2}
    return {
        "now_s": 5.0,
        "processes": 1,
        "process": process,
        "errors": [error],
        "uptime_s": float(runs),
        "state": state,
        "models": [
            {
                "name": "m",
                "versions": [
                    {"number": number, "waiting": 1, "busy_s": 4.0 * runs, "signatures": [signature]}
                    for number in versions
                ],
            }
        ],
        **more,
    }


def test_one_process_is_as_it_is() -> None:
    assert summed([status(3)]) == status(3)


def test_counts_are_added_up_and_words_are_kept() -> None:
    found = summed([status(1), status(2)])
    (version,) = found["models"][0]["versions"]
    (signature,) = version["signatures"]
    assert (version["waiting"], version["busy_s"]) == (2, 6.0)
    assert (signature["runs"], signature["ran_s"], signature["plan"]) == (3, 1.5, "as saved")
    assert (signature["run_durations"], signature["events"]) == ([3, 0], {"expired": 3})
    assert (found["uptime_s"], found["state"]) == (1.0, "live")


def test_version_in_the_shadow_of_another_has_the_comparisons_of_all_processes() -> None:
    told = {
        **{"of": 1, "compared": 3, "differed": 1, "failed": 0, "dropped": 2},
        **{"slower": 1.0, "largest": 0.1, "reason": ""},
    }
    more = {**told, "slower": 2.0, "largest": 0.3, "reason": "output 'y' differs"}
    first, second, third = status(1), status(1), status(1)
    for one, shadow in ((first, told), (second, more), (third, {**told, "slower": None})):
        one["models"][0]["versions"][0]["shadow"] = shadow
    (version,) = summed([first, second, third])["models"][0]["versions"]
    assert version["shadow"] == {
        **{"of": 1, "compared": 9, "differed": 3, "failed": 0, "dropped": 6},
        **{"slower": 1.5, "largest": 0.3, "reason": "output 'y' differs"},
    }


def test_processes_are_told_with_all_that_they_take() -> None:
    found = summed([status(1), status(2)])
    assert found["processes"] == 2
    assert found["process"] == {"cpu_s": 6.0, "serving_cpu_s": None, "rss_bytes": 200, "processors": 4}


def test_errors_of_one_kind_are_joined_and_the_last_comes_first() -> None:
    other = {**status(5)["errors"][0], "text": "another", "at_s": 101.5}
    first = status(1)
    found = summed([{**first, "errors": [*first["errors"], other]}, status(2)])["errors"]
    assert [(one["text"], one["times"], one["at_s"]) for one in found] == [
        ("broke after 2 runs", 3, 102.0),
        ("another", 5, 101.5),
    ]


def test_it_is_live_when_all_are() -> None:
    assert summed([status(1), status(1, "loading")])["state"] == "loading"


def test_version_that_one_alone_has_is_shown() -> None:
    found = summed([status(1), status(2, versions=(1, 2))])
    assert [one["number"] for one in found["models"][0]["versions"]] == [1, 2]
