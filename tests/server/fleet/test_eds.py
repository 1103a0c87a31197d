"""What others read of a fleet's endpoints: only who is ready, and the same text for the same fleet."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.fleet import eds
from hotgraph_server.fleet.observed import ModelSeen, ReplicaSeen, ReplicaState

READY = ReplicaState.READY
LIVE, LOADING = ModelSeen(versions=(1,)), ModelSeen()


def replica(name: str, address: str, state: ReplicaState = READY, **models: ModelSeen) -> ReplicaSeen:
    return ReplicaSeen(name, state, address=address, models=models)


def lb_endpoints(text: str) -> list[dict[str, Any]]:
    (resource,) = json.loads(text)["resources"]
    assert resource["cluster_name"] == eds.RESOURCE
    (locality,) = resource["endpoints"]
    found: list[dict[str, Any]] = locality["lb_endpoints"]
    return found


@pytest.mark.parametrize("state", [state for state in ReplicaState if state is not ReplicaState.READY])
def test_only_who_is_ready_is_found(state: ReplicaState) -> None:
    found = eds.endpoints([replica("a", "10.0.0.1:8500"), replica("b", "10.0.0.2:8500", state)])
    assert [one.address for one in found] == ["10.0.0.1:8500"]


def test_who_is_ready_and_has_no_address_is_not_found() -> None:
    assert eds.endpoints([replica("a", "")]) == ()


def test_each_endpoint_says_which_models_are_live_there() -> None:
    found = eds.endpoints([replica("a", "10.0.0.1:8500", late=LOADING, z=LIVE, b=LIVE)])
    (endpoint,) = lb_endpoints(eds.document(found))
    assert endpoint["metadata"] == {"filter_metadata": {"envoy.lb": {"model": ["b", "z"]}}}
    assert endpoint["endpoint"]["address"]["socket_address"] == {"address": "10.0.0.1", "port_value": 8500}


@given(st.permutations(range(5)))
def test_the_order_of_replicas_does_not_change_the_text(order: list[int]) -> None:
    replicas = [
        ReplicaSeen(f"r{i}", READY, address=f"10.0.0.{i + 1}:8500", models={f"m{i}": LIVE}) for i in range(5)
    ]
    shuffled = eds.endpoints(replicas[i] for i in order)
    assert eds.document(shuffled) == eds.document(eds.endpoints(replicas))
    assert eds.target(shuffled) == eds.target(eds.endpoints(replicas))


def test_an_empty_fleet_is_an_assignment_without_endpoints() -> None:
    assert lb_endpoints(eds.document(())) == []
    assert eds.target(()) == ""


def test_the_plain_target_names_all() -> None:
    found = eds.endpoints([replica("a", "10.0.0.2:8500"), replica("b", "10.0.0.1:8510")])
    assert eds.target(found) == "ipv4:10.0.0.1:8510,10.0.0.2:8500\n"


def test_ipv6_is_in_brackets_where_a_port_follows_and_nowhere_else() -> None:
    found = eds.endpoints([replica("a", "[fd00::1]:8500")])
    assert eds.target(found) == "ipv6:[fd00::1]:8500\n"
    (endpoint,) = lb_endpoints(eds.document(found))
    assert endpoint["endpoint"]["address"]["socket_address"]["address"] == "fd00::1"


@pytest.mark.parametrize(
    "address", ["node-1:8500", "10.0.0.1", "10.0.0.1:port", "10.0.0.1:0", "10.0.0.1:70000"]
)
def test_what_envoy_would_not_take_names_its_replica(address: str) -> None:
    with pytest.raises(ValueError, match="replica a: "):
        eds.endpoints([replica("a", address)])
