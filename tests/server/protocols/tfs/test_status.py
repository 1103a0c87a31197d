"""ModelService: the versions of a model and their states, highest first."""

from __future__ import annotations

from typing import Any

import pytest
from tensorflow_serving.apis import get_model_status_pb2

from hotgraph_server.errors import CallError, InvalidCall, NotFound
from hotgraph_server.model import State
from hotgraph_server.protocols import tfs

from ..fakes import FakeGraph, Models, add_and_subtract, float_signature

ModelVersionStatus = get_model_status_pb2.ModelVersionStatus


def asking(name: str, *, version: int | None = None, label: str | None = None) -> Any:
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = name
    if version is not None:
        request.model_spec.version.value = version
    if label is not None:
        request.model_spec.version_label = label
    return request


def status(models: Models, request: Any) -> list[tuple[int, int]]:
    """Version numbers and states."""
    plain = tfs.model_service(models.registry).plain["GetModelStatus"]
    response = plain.answer(plain.request.FromString(request.SerializeToString()))
    return [(one.version, one.state) for one in response.model_version_status]


def add(models: Models, number: int, *, live: bool = True) -> None:
    models.add("m", number, FakeGraph((float_signature(), add_and_subtract)), live=live)


def test_all_versions_are_told_highest_first(models: Models) -> None:
    add(models, 3)
    add(models, 12, live=False)
    add(models, 9)
    assert status(models, asking("m")) == [
        (12, ModelVersionStatus.LOADING),
        (9, ModelVersionStatus.AVAILABLE),
        (3, ModelVersionStatus.AVAILABLE),
    ]


def test_named_version_is_told_alone(models: Models) -> None:
    add(models, 3)
    add(models, 9)
    assert status(models, asking("m", version=3)) == [(3, ModelVersionStatus.AVAILABLE)]


def test_version_zero_means_all_where_there_is_no_zero(models: Models) -> None:
    add(models, 3)
    assert status(models, asking("m", version=0)) == [(3, ModelVersionStatus.AVAILABLE)]
    add(models, 0)
    assert status(models, asking("m", version=0)) == [(0, ModelVersionStatus.AVAILABLE)]


def test_label_is_ignored(models: Models) -> None:
    add(models, 3)
    assert status(models, asking("m", label="canary")) == [(3, ModelVersionStatus.AVAILABLE)]


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        (State.LOADING, ModelVersionStatus.LOADING),
        (State.LIVE, ModelVersionStatus.AVAILABLE),
        (State.DRAINING, ModelVersionStatus.UNLOADING),
        (State.CLOSED, ModelVersionStatus.END),
        (State.FAILED, ModelVersionStatus.END),
    ],
)
def test_each_state_has_its_counterpart(models: Models, state: State, shown: int) -> None:
    add(models, 1, live=False)
    (version,) = models.registry.versions()
    version.state = state
    assert status(models, asking("m")) == [(1, shown)]
    version.state = State.LOADING


def test_version_that_is_well_says_so_with_a_status(models: Models) -> None:
    add(models, 3)
    plain = tfs.model_service(models.registry).plain["GetModelStatus"]
    (one,) = plain.answer(asking("m")).model_version_status
    assert one.HasField("status")
    assert (one.status.error_code, one.status.error_message) == (0, "")


@pytest.mark.parametrize(
    ("request_", "error", "text"),
    [
        (get_model_status_pb2.GetModelStatusRequest(), InvalidCall, "Missing ModelSpec"),
        (asking(""), NotFound, "Could not find any versions of model "),
        (asking("x"), NotFound, "Could not find any versions of model x"),
        (asking("m", version=7), NotFound, "Could not find version 7 of model m"),
        (asking("m", version=-1), NotFound, "Could not find version -1 of model m"),
    ],
)
def test_what_is_not_there_is_told_in_tensorflow_servings_words(
    models: Models, request_: Any, error: type[CallError], text: str
) -> None:
    add(models, 3)
    with pytest.raises(error) as raised:
        status(models, request_)
    assert str(raised.value) == text


def test_only_methods_of_the_descriptor_are_answered(models: Models) -> None:
    service = tfs.model_service(models.registry)
    described = service.descriptor.services_by_name["ModelService"]
    assert described.full_name == service.name
    assert {*service.hot, *service.plain} <= set(described.methods_by_name)
