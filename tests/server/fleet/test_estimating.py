"""What models need: said, measured, or guessed by their files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hotgraph_server.fleet import estimating
from hotgraph_server.fleet.estimating import Estimates, Plans, files_bytes, needs_on_paper
from hotgraph_server.fleet.needs import MB
from hotgraph_server.fleet.observed import FleetSeen, ModelSeen, ReplicaSeen, ReplicaState
from hotgraph_server.fleet.placement import Placement
from hotgraph_server.fleet.spec import FleetSpec, ModelSpec

PLACES = ["r0", "r1"]


def fleet(folder: Path, *models: ModelSpec) -> FleetSpec:
    return FleetSpec("test", folder, folder, models=models)


def look(at_s: float, *replicas: dict[str, ModelSeen]) -> FleetSeen:
    return FleetSeen(
        at_s,
        replicas=tuple(
            ReplicaSeen(f"r{number}", ReplicaState.READY, node_id=f"n{number}", models=models)
            for number, models in enumerate(replicas)
        ),
    )


def live(mb: float = 0, rate: float = 0, calls: int = 0, run_s: float = 0) -> ModelSeen:
    return ModelSeen((1,), int(mb * MB), calls, run_s=run_s, calls_per_s=rate)


@pytest.fixture
def estimates(tmp_path: Path) -> Estimates:
    return Estimates(fleet(tmp_path, ModelSpec("a")), lambda name: 10 * MB)


def test_what_the_file_says_wins_over_what_was_measured(tmp_path: Path) -> None:
    said = ModelSpec("a", rate_per_s=7, cost_ms=((1, 2.0), (11, 12.0)), memory_mb=50)
    (needs,) = needs_on_paper(fleet(tmp_path, said), look(0, {"a": live(90, 100, 10, 1)})).values()
    assert (needs.memory_bytes, needs.rate_per_s) == (50 * MB, 7)
    assert (needs.fixed_s, needs.per_row_s) == pytest.approx((0.001, 0.001))
    assert (needs.memory_from, needs.rate_from) == ("said", "said")


def test_memory_is_guessed_by_files_until_it_is_measured(estimates: Estimates) -> None:
    assert estimates.needs()["a"].memory_bytes == estimating.OF_FILES * 10 * MB + estimating.BESIDE_FILES
    assert estimates.needs()["a"].memory_from == "by its files"
    estimates.looked(look(0, {"a": live(90)}, {"a": live(91)}))
    assert estimates.needs()["a"].memory_bytes == 91 * MB
    assert estimates.needs()["a"].memory_from == "measured"


def test_rate_that_fades_away_is_told_some_times_and_no_more(estimates: Estimates) -> None:
    told = set()
    for second in range(3600):
        estimates.looked(look(second, {"a": live(90, 100 if second < 60 else 0)}))
        told.add(estimates.needs()["a"].rate_per_s)
    assert len(told) < 50
    assert estimates.needs()["a"].rate_per_s < 0.1


def test_memory_that_was_measured_counts_though_the_model_is_gone(estimates: Estimates) -> None:
    estimates.looked(look(0, {"a": live(90)}))
    estimates.looked(look(1, {}))
    assert estimates.needs()["a"].memory_bytes == 90 * MB


def test_of_two_versions_at_once_each_takes_its_part(estimates: Estimates) -> None:
    estimates.looked(look(0, {"a": ModelSeen((1, 2), 180 * MB)}))
    assert estimates.needs()["a"].memory_bytes == 90 * MB


def test_rates_are_those_of_all_copies_and_runs_cost_what_they_did(estimates: Estimates) -> None:
    estimates.looked(look(0, {"a": live(1, 30, 300, 0.6)}, {"a": live(1, 10, 100, 0.2)}))
    needs = estimates.needs()["a"]
    assert (needs.rate_per_s, needs.per_row_s) == pytest.approx((40, 0.002))


def test_rate_that_jitters_changes_nothing_and_one_that_stays_does(estimates: Estimates) -> None:
    estimates.looked(look(0, {"a": live(1, 100)}))
    for second in range(1, 60):
        estimates.looked(look(second, {"a": live(1, 130 if second % 2 else 70)}))
        assert estimates.needs()["a"].rate_per_s == 100
    for second in range(60, 600):
        estimates.looked(look(second, {"a": live(1, 300)}))
    assert estimates.needs()["a"].rate_per_s == pytest.approx(300, rel=0.25)


def test_model_whose_folder_is_not_there_is_guessed(tmp_path: Path) -> None:
    (needs,) = needs_on_paper(fleet(tmp_path, ModelSpec("a"))).values()
    assert (needs.memory_bytes, needs.memory_from) == (estimating.GUESSED, "guessed")


def test_files_of_the_newest_version_count(tmp_path: Path) -> None:
    for version, size in (("2", 10), ("10", 300), ("notes", 5000)):
        (tmp_path / version / "variables").mkdir(parents=True)
        (tmp_path / version / "variables" / "data").write_bytes(b"x" * size)
    assert files_bytes(tmp_path) == 300
    assert files_bytes(tmp_path / "notes") == 5000
    assert files_bytes(tmp_path / "nowhere") is None


def test_driver_that_has_just_come_goes_on_from_what_is_live(tmp_path: Path) -> None:
    spec = fleet(tmp_path, ModelSpec("a"), ModelSpec("b"))
    seen = look(0, {"a": live(1)}, {"b": live(1)})
    made = Plans(spec)(spec, seen, ["r0", "r1"], Placement())
    assert made.models == {"r0": {"a"}, "r1": {"b"}}


def test_driver_that_has_just_come_waits_until_it_has_heard_of_all(tmp_path: Path) -> None:
    spec = fleet(tmp_path, ModelSpec("a"), ModelSpec("b"))
    plans, whole = Plans(spec), look(1, {"a": live(1)}, {"b": live(1)})
    silent = replace(whole.replicas[1], state=ReplicaState.STARTING, models={})
    at_first = plans(spec, replace(whole, at_s=0, replicas=(whole.replicas[0], silent)), PLACES, Placement())
    assert at_first.models == {"r0": {"a"}}
    assert plans(spec, whole, PLACES, at_first).models == {"r0": {"a"}, "r1": {"b"}}


def test_driver_does_not_wait_for_ever_for_one_that_stays_silent(tmp_path: Path) -> None:
    spec = fleet(tmp_path, ModelSpec("a"), ModelSpec("b"))
    plans, made = Plans(spec), Placement()
    whole = look(0, {"a": live(1)}, {})
    silent = (whole.replicas[0], replace(whole.replicas[1], state=ReplicaState.STARTING))
    for second in range(7):
        made = plans(spec, FleetSeen(second, replicas=silent), PLACES, made)
    assert made.models == {"r0": {"a"}, "r1": {"b"}}


def test_driver_of_a_new_fleet_plans_at_once(tmp_path: Path) -> None:
    spec = fleet(tmp_path, ModelSpec("a"), ModelSpec("b"))
    starting = (replace(one, state=ReplicaState.STARTING) for one in look(0, {}, {}).replicas)
    made = Plans(spec)(spec, FleetSeen(0, replicas=tuple(starting)), PLACES, Placement())
    assert sorted(map(sorted, made.models.values())) == [["a"], ["b"]]


def test_nothing_is_planned_anew_while_nothing_changes(tmp_path: Path) -> None:
    spec = fleet(tmp_path, ModelSpec("a"), ModelSpec("b"))
    plans = Plans(spec)
    first = plans(spec, look(0, {}, {}), ["r0", "r1"], Placement())
    assert plans(spec, look(1, {}, {}), ["r0", "r1"], first) is first
    assert plans(spec, look(2, {}, {}), ["r0"], first).models.keys() == {"r0"}
