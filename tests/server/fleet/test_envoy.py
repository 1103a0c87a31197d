"""Envoy's configuration as a text: whole, whatever the fleet is called. A real Envoy is asked in
tests/acceptance/test_fleet_envoy.py."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_client import MODEL_HEADER
from hotgraph_server.fleet import eds
from hotgraph_server.fleet.envoy import HEADER, config
from hotgraph_server.fleet.spec import FleetSpec, ModelSpec, ReplicaSpec

SPEC = FleetSpec("shop", Path("/srv/models"), Path("/srv/fleet"), models=(ModelSpec("a"), ModelSpec("b")))
PINNED = dataclasses.replace(SPEC, models=(ModelSpec("a", pin=True),))


def clusters(of: FleetSpec) -> dict[str, dict[str, Any]]:
    found = yaml.safe_load(config(of))["static_resources"]["clusters"]
    return {cluster["name"]: cluster for cluster in found}


def test_both_clusters_read_the_endpoints_that_the_fleet_writes() -> None:
    for cluster in clusters(SPEC).values():
        source = cluster["eds_cluster_config"]
        assert source["service_name"] == eds.RESOURCE
        assert source["eds_config"]["path_config_source"] == {"path": "/srv/fleet/endpoints.json"}


def test_models_that_are_spread_make_subsets() -> None:
    for cluster in clusters(SPEC).values():
        assert cluster["lb_policy"] == "LEAST_REQUEST"
        subsets = cluster["lb_subset_config"]
        assert subsets["list_as_any"] is True
        assert subsets["subset_selectors"] == [{"keys": [eds.MODEL_KEY], "fallback_policy": "ANY_ENDPOINT"}]


def test_what_replicas_say_of_their_load_weighs_where_every_model_is_on_every_replica() -> None:
    grpc = clusters(PINNED)["grpc"]
    assert "lb_subset_config" not in grpc
    assert "client_side_weighted_round_robin" in str(grpc["load_balancing_policy"])


def test_nothing_weighs_where_replicas_say_nothing() -> None:
    silent = dataclasses.replace(PINNED, replicas=ReplicaSpec(settings={"load_reports": "never"}))
    assert clusters(silent)["grpc"]["lb_policy"] == "LEAST_REQUEST"


@pytest.mark.parametrize(("most", "calls"), [(1, 4096), (4, 4096), (100, 102_400)])
def test_a_large_fleet_may_have_more_calls_under_way(most: int, calls: int) -> None:
    large = dataclasses.replace(SPEC, replicas=ReplicaSpec(most=most))
    (bounds,) = clusters(large)["grpc"]["circuit_breakers"]["thresholds"]
    assert bounds["max_requests"] == calls


def test_calls_come_in_where_the_file_says() -> None:
    made = yaml.safe_load(config(dataclasses.replace(SPEC, listen="[::1]:9000"), "10.0.0.1:1234"))
    (listener,) = made["static_resources"]["listeners"]
    assert listener["address"] == {"socket_address": {"address": "::1", "port_value": 9000}}
    assert made["admin"]["address"] == {"socket_address": {"address": "10.0.0.1", "port_value": 1234}}


@given(st.text(st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_a_folder_of_whatever_name_is_read_as_it_is(name: str) -> None:
    state = Path("/srv") / name
    source = clusters(dataclasses.replace(SPEC, state=state))["grpc"]["eds_cluster_config"]["eds_config"]
    assert source["path_config_source"]["path"] == str(state / "endpoints.json")


def test_envoy_looks_at_the_header_that_clients_send() -> None:
    assert HEADER == MODEL_HEADER
    assert f"header: {MODEL_HEADER}" in config(SPEC)
