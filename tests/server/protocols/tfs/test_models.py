"""Which version a ModelSpec means: TensorFlow Serving's rules and words."""

from __future__ import annotations

from typing import Any

import pytest
from tensorflow_serving.apis import model_pb2, predict_pb2

from hotgraph_server.errors import CallError, InvalidCall, NotFound
from hotgraph_server.model import Version
from hotgraph_server.protocols.tfs.models import find, requested_number

from ..fakes import FakeGraph, Models, add_and_subtract, float_signature


def asking(name: str, *, version: int | None = None, label: str | None = None) -> Any:
    """A PredictRequest for a model."""
    request = predict_pb2.PredictRequest(model_spec=model_pb2.ModelSpec(name=name))
    if version is not None:
        request.model_spec.version.value = version
    if label is not None:
        request.model_spec.version_label = label
    return request


@pytest.fixture
def three(models: Models) -> Version:
    """Version 3 of "m", beside a version 12 that still loads."""
    models.add("m", 12, FakeGraph(), live=False)
    return models.add("m", 3, FakeGraph((float_signature(), add_and_subtract)))


def test_without_a_version_the_highest_that_answers_is_meant(models: Models, three: Version) -> None:
    assert find(models.registry, asking("m")) is three
    nine = models.add("m", 9, FakeGraph((float_signature(), add_and_subtract)))
    assert find(models.registry, asking("m")) is nine


def test_named_version_is_meant_though_a_higher_one_is_there(models: Models, three: Version) -> None:
    models.add("m", 9, FakeGraph((float_signature(), add_and_subtract)))
    assert find(models.registry, asking("m", version=3)) is three


def test_version_zero_means_the_latest_where_there_is_no_zero(models: Models, three: Version) -> None:
    """ovmsclient sends it with every call."""
    assert find(models.registry, asking("m", version=0)) is three
    assert requested_number(models.registry, asking("m", version=0).model_spec) is None


def test_version_zero_means_zero_where_there_is_one(models: Models, three: Version) -> None:
    zero = models.add("m", 0, FakeGraph((float_signature(), add_and_subtract)))
    assert find(models.registry, asking("m", version=0)) is zero


@pytest.mark.parametrize(
    ("request_", "error", "text"),
    [
        (predict_pb2.PredictRequest(), InvalidCall, "Missing ModelSpec"),
        (asking(""), InvalidCall, "ModelSpec has no name specified."),
        (asking("", version=1), InvalidCall, "ModelSpec has no name specified."),
        (asking("x"), NotFound, "Servable not found for request: Latest(x)"),
        (asking("x", version=0), NotFound, "Servable not found for request: Latest(x)"),
        (asking("x", version=7), NotFound, "Servable not found for request: Specific(x, 7)"),
        (asking("m", version=7), NotFound, "Servable not found for request: Specific(m, 7)"),
        (asking("m", version=-1), NotFound, "Servable not found for request: Specific(m, -1)"),
        (asking("m", version=12), NotFound, "Servable not found for request: Specific(m, 12)"),
        (asking("m", label="canary"), InvalidCall, "Unrecognized servable version label: canary"),
        (asking("x", label=""), InvalidCall, "Unrecognized servable version label: "),
    ],
)
@pytest.mark.usefixtures("three")
def test_reason_why_there_is_no_version_is_told_in_tensorflow_servings_words(
    models: Models, request_: Any, error: type[CallError], text: str
) -> None:
    with pytest.raises(error) as raised:
        find(models.registry, request_)
    assert type(raised.value) is error
    assert str(raised.value) == text


def test_model_of_which_no_version_answers_is_not_found(models: Models) -> None:
    models.add("m", 1, FakeGraph(), live=False)
    with pytest.raises(NotFound, match=r"Servable not found for request: Latest\(m\)"):
        find(models.registry, asking("m"))
