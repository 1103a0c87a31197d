"""health.py: the messages of grpc.health.v1 beside grpcio's own."""

from __future__ import annotations

import pytest
from grpc_health.v1 import health_pb2
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_protos import health as pb


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_question_is_grpcs(name: str) -> None:
    theirs = health_pb2.HealthCheckRequest(service=name)
    assert pb.HealthCheckRequest.FromString(theirs.SerializeToString()).service == name


@pytest.mark.parametrize("status", ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"])
def test_answer_is_grpcs(status: str) -> None:
    ours = pb.HealthCheckResponse(status=status)
    theirs = health_pb2.HealthCheckResponse.FromString(ours.SerializeToString())
    assert health_pb2.HealthCheckResponse.ServingStatus.Name(theirs.status) == status


def test_service_has_the_methods_of_grpc_and_list() -> None:
    (ours,) = pb.DESCRIPTOR.services_by_name.values()
    theirs = health_pb2.DESCRIPTOR.services_by_name["Health"]
    assert ours.full_name == theirs.full_name
    assert {one.name for one in ours.methods} == {one.name for one in theirs.methods} | {"List"}
