"""The bytes of grpc.health.v1, held against the package of its messages."""

from __future__ import annotations

import contextlib

import pytest
from grpc_health.v1 import health_pb2
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_client.health import request_of, status_of

Response = health_pb2.HealthCheckResponse


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
def test_request_is_the_message(name: str) -> None:
    assert health_pb2.HealthCheckRequest.FromString(request_of(name)).service == name


@pytest.mark.parametrize("name", Response.ServingStatus.keys())
def test_every_status_is_read(name: str) -> None:
    answer = Response(status=Response.ServingStatus.Value(name)).SerializeToString()
    assert status_of(answer) == name


@given(st.binary(max_size=20))
def test_any_bytes_are_a_status_or_a_value_error(answer: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert status_of(answer) in dict(Response.ServingStatus.items())
