from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.errors import FleetError
from hotgraph_server.fleet.actions import Endpoint
from hotgraph_server.fleet.endpoints import PLAIN, Files, are_written
from hotgraph_server.fleet.observed import ReplicaSeen, ReplicaState
from hotgraph_server.fleet.spec import FleetSpec

TWO = (
    Endpoint("r1", "10.0.0.2:8500", "10.0.0.2:80", frozenset({"b", "a"})),
    Endpoint("r0", "10.0.0.1:8500", "10.0.0.1:80", frozenset({"a"})),
)


def seen(endpoint: Endpoint) -> ReplicaSeen:
    return ReplicaSeen(endpoint.replica_id, ReplicaState.READY, endpoint.address, endpoint.rest_address)


def test_next_driver_reads_what_the_one_before_has_published(tmp_path: Path) -> None:
    Files(tmp_path / "state").publish(TWO)
    assert set(Files(tmp_path / "state").published([seen(one) for one in TWO])) == set(TWO)


def test_list_that_a_driver_left_ahead_of_the_other_file_is_brought_in_line(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.publish([Endpoint("r0", "10.0.0.1:1", models=frozenset("a"))])
    (tmp_path / PLAIN).write_text("ipv4:10.0.0.2:2\n")
    assert [one.address for one in files.published([])] == ["10.0.0.1:1"]
    assert (tmp_path / PLAIN).read_text() == "ipv4:10.0.0.1:1\n"


def test_address_that_nobody_has_any_more_is_still_known_to_be_there(tmp_path: Path) -> None:
    Files(tmp_path).publish(TWO)
    unknown, known = Files(tmp_path).published([seen(TWO[0])])
    assert known == TWO[0]
    assert unknown == Endpoint("", "10.0.0.1:8500", "", frozenset({"a"}))


def test_same_replicas_in_any_order_are_the_same_files(tmp_path: Path) -> None:
    Files(tmp_path).publish(TWO)
    before = [(tmp_path / name).read_text() for name in ("endpoints.json", "endpoints.txt")]
    Files(tmp_path).publish(TWO[::-1])
    assert [(tmp_path / name).read_text() for name in ("endpoints.json", "endpoints.txt")] == before
    assert before[1] == "ipv4:10.0.0.1:8500,10.0.0.2:8500\n"


def test_nothing_but_whole_files_is_left(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.publish(TWO)
    files.write_status({"a": 1})
    files.publish(())
    assert {one.name for one in tmp_path.iterdir()} == {"endpoints.json", "endpoints.txt", "status.json"}
    assert (tmp_path / "endpoints.txt").read_text() == ""
    assert files.published([]) == ()
    assert json.loads((tmp_path / "status.json").read_text()) == {"a": 1}


def test_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FleetError, match="file/endpoints"):
        Files(tmp_path / "file").publish(TWO)


def test_no_endpoints_are_written_where_a_service_has_them(tmp_path: Path) -> None:
    files = Files(tmp_path, endpoints=False)
    files.publish(TWO)
    assert not list(tmp_path.iterdir())
    assert files.published([]) == ()


@pytest.mark.parametrize(
    ("setting", "kubernetes", "written"),
    [
        *(("auto", False, True), ("auto", True, False)),
        *(("files", True, True), ("none", False, False)),
    ],
)
def test_who_says_where_replicas_are(setting: str, kubernetes: bool, written: bool) -> None:
    spec = FleetSpec("a", Path("m"), Path("s"), endpoints=setting)
    assert are_written(spec, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"} if kubernetes else {}) is written


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["resources", "endpoints", "lb_endpoints", "metadata", "x"]), inner)
    ),
    max_leaves=10,
)


@given(JSON.map(json.dumps) | st.text(max_size=20))
def test_file_of_somebody_else_is_nothing(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("state")
    (folder / "endpoints.json").write_text(text)
    assert Files(folder).published([]) == ()
