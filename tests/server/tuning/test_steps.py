from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hotgraph_server.errors import StartError
from hotgraph_server.settings import BatchSettings, ModelSettings, SessionSettings
from hotgraph_server.tuning import jobs, steps
from hotgraph_server.tuning.children import LoadTestCommand, measured, served
from hotgraph_server.tuning.costs import TODAY, Costs, Point, as_json, variant_of
from hotgraph_server.tuning.variants import process_counts, values_to_measure, variants

COSTS = Costs(TODAY, "as saved", (Point(1, (0.001,), 0.001),))


def model(**session: Any) -> steps.Model:
    settings = ModelSettings("m", Path("/models/m"), session=SessionSettings(**session))
    return steps.Model(settings, {"plan_budget_s": 1.0}, {"import": ["ops"]}, "predict")


class FakeMeasuring:
    """Answers every job, but for those whose variant holds a setting that cannot be had."""

    def __init__(self, fails: str = "", *, xla: bool = True) -> None:
        self.jobs: list[jobs.Job] = []
        self.fails = fails
        self.xla = xla

    def __call__(self, job: jobs.Job, say: steps.Say) -> Mapping[str, Any]:
        self.jobs.append(job)
        if self.fails in job.variant or (self.fails == "today" and not job.variant):
            raise StartError("it does not fit")
        costs = Costs(variant_of(job.variant), COSTS.plan, COSTS.points)
        return {"costs": as_json(costs), "xla": self.xla, "writes": True, "log": {"rows": [1]}}


def measure(measuring: FakeMeasuring, one: steps.Model | None = None) -> steps.Measurements:
    return steps.measure(
        one or model(),
        4,
        most_rows=32,
        call_rows=2,
        seconds=20.0,
        log="calls.tfrecord",
        say=lambda _: None,
        measured=measuring,
    )


def test_every_variant_is_measured_in_a_process_of_its_own_and_todays_comes_first() -> None:
    measuring = FakeMeasuring()
    found = measure(measuring)
    assert [str(one.variant) for one in found.costs] == [
        "as today",
        "intra_op_threads=2",
        "intra_op_threads=1",
        "row_buckets=powers of two, xla=true",
    ]
    today, two, _, xla = measuring.jobs
    assert today.values == {"plan_budget_s": 1.0, "max_batch_rows": 32, "import": ["ops"]}
    assert two.values["intra_op_threads"] == 2
    assert xla.values["row_buckets"] == (1, 2, 4, 8, 16, 32)
    assert (today.signature, today.call_rows, today.budget_s) == ("predict", 2, 5.0)
    assert [bool(job.log) for job in measuring.jobs] == [True, False, False, False]
    assert found.writes
    assert found.log == {"rows": [1]}


def test_a_variant_that_cannot_be_had_is_said_and_left_out() -> None:
    found = measure(FakeMeasuring("xla"))
    assert len(found.costs) == 3
    assert found.notes == ["row_buckets=powers of two, xla=true was not measured: it does not fit"]


def test_xla_that_pays_nowhere_is_said_and_left_out() -> None:
    found = measure(FakeMeasuring(xla=False))
    assert len(found.costs) == 3
    assert "XLA" in found.notes[0]


def test_a_model_that_cannot_be_measured_as_it_is_cannot_be_tuned() -> None:
    with pytest.raises(StartError, match="does not fit"):
        measure(FakeMeasuring("today"))


@pytest.mark.parametrize(
    ("cores", "session", "found"),
    [
        (1, {}, ["as today"]),
        (2, {}, ["as today", "intra_op_threads=1"]),
        (12, {}, ["as today", *(f"intra_op_threads={count}" for count in (8, 4, 2, 1))]),
        (2, {"intra_op_threads": 1}, ["as today"]),
        (4, {"intra_op_threads": 2}, ["as today", "intra_op_threads=1"]),
        (4, {"device": "/GPU:0"}, ["as today"]),
    ],
)
def test_variants_are_fewer_threads_than_today_and_xla(
    cores: int, session: dict[str, Any], found: list[str]
) -> None:
    settings = ModelSettings("m", Path("m"), session=SessionSettings(**session))
    *plain, xla = map(str, variants(settings, cores))
    assert plain == found
    assert "xla=true" in xla
    as_saved = ModelSettings("m", Path("m"), session=SessionSettings(plan="as-saved", **session))
    assert [*map(str, variants(as_saved, cores))] == found


def test_processes_are_tried_as_far_as_each_has_a_processor() -> None:
    assert process_counts(1) == []
    assert process_counts(2) == [2]
    assert process_counts(12) == [2, 4, 8]


def test_a_model_is_loaded_with_room_for_what_is_measured() -> None:
    small = ModelSettings("m", Path("m"), BatchSettings(max_batch_rows=8, max_queued_rows=8))
    assert values_to_measure(small, TODAY, 32) == {"max_batch_rows": 32, "max_queued_rows": 32}
    assert values_to_measure(small, TODAY, 8) == {}


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_what_a_process_tells_is_gathered_and_its_progress_passed_on() -> None:
    said: list[str] = []
    code = (
        "import json, sys; job = json.loads(sys.argv[1]); print(json.dumps({'say': job['name']}));"
        "print(json.dumps({'costs': 1})); print(json.dumps({'log': 2}))"
    )
    told = measured(jobs.Job("/m", "a name"), said.append, python(code))
    assert (told["costs"], told["log"], said) == (1, 2, ["a name"])


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ('print(\'{"fault": "no such signature"}\')', "no such signature"),
        ("import sys; sys.exit(3)", "status 3"),
        ("pass", "status 0"),
    ],
)
def test_a_process_that_does_not_measure_is_one_line(code: str, says: str) -> None:
    with pytest.raises(StartError, match=says):
        measured(jobs.Job("/m", "m"), lambda _: None, python(code))


def test_a_job_goes_over_the_command_line_as_it_is() -> None:
    job = jobs.Job("/m", "m", {"row_buckets": [1, 2]}, {"xla": True}, "s", 8, 2, 1.5, "log")
    assert jobs.decode(jobs.encode(job)) == job


def test_a_server_is_up_when_it_says_so_and_gone_at_the_end() -> None:
    code = "import sys, time; print('serving on 127.0.0.1:1', file=sys.stderr, flush=True); time.sleep(600)"
    with served([], python(code)) as server:
        assert server.address == "127.0.0.1:1"
        assert server.cpu_s() >= 0.0
        process = server._process
        assert process.poll() is None
    assert process.poll() is not None


def test_a_server_that_does_not_start_is_told_of_in_its_own_words() -> None:
    code = "import sys; print('hotgraph serve: no such device', file=sys.stderr); sys.exit(1)"
    with pytest.raises(StartError, match="no such device"), served([], python(code)):
        pass


STEP = {"latency_ms": {"p99": 3.0}, "errors": {}, "seconds": 2.0, "offered_per_s": 9.0, "achieved_per_s": 9.0}


def test_a_load_is_the_documented_command_and_its_json() -> None:
    document = {"machine": {"cpu": "x"}, "load": {"warm_up_s": 0.5}, "steps": [STEP]}
    code = (
        f"import sys, json; d = json.loads({json.dumps(json.dumps(document))});"
        "d['machine']['words'] = sys.argv;"
        "print(json.dumps(d)); sys.exit(1)"
    )
    load = LoadTestCommand(["--signature", "s"], python(code))
    step = load.run("127.0.0.1:1", "m", 300.0, 2.5, {1: 9.0, 4: 1.0}, 7)
    assert step == {**STEP, "warm_up_s": 0.5}
    words = load.about["machine"]["words"][1:]
    assert " ".join(words) == (
        "127.0.0.1:1 m --duration 2.5 --warm-up 0.625 --seed 7 --json -"
        " --rate 300 --rows 1:9,4:1 --signature s"
    )


def test_a_log_is_replayed() -> None:
    code = f"import sys, json; print(json.dumps({{'machine': sys.argv, 'steps': [{STEP}]}}))"
    load = LoadTestCommand((), python(code), ("calls.tfrecord", 2.5))
    load.run("127.0.0.1:1", "m", 300.0, 2.5, {1: 1.0}, 1)
    assert load.about["machine"][-4:] == ["--replay", "calls.tfrecord", "--speed", "2.5"]


def test_a_load_that_cannot_be_sent_is_told_of_in_its_own_words() -> None:
    load = LoadTestCommand(command=python("import sys; sys.exit('hotgraph loadtest: cannot connect')"))
    with pytest.raises(StartError, match="cannot connect"):
        load.run("127.0.0.1:1", "m", 300.0, 2.5, {1: 1.0}, 1)
    assert not load.is_there()
    assert LoadTestCommand(command=python("pass")).is_there()
