"""Which version a ModelSpec means: TensorFlow Serving's rules and words."""

from __future__ import annotations

from typing import Any

import pytest
from tensorflow_serving.apis import model_pb2, predict_pb2

from hotgraph_server.errors import CallError, InvalidCall, NotFound
from hotgraph_server.models.version import Version
from hotgraph_server.protocols.tfs.model_spec import answered, find_for, look_up, signature_name, wanted

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


def label(models: Models, **numbers: int) -> None:
    """Point labels of "m" to its versions."""
    models.registry.replace("m", list(models.registry.table["m"].values()), numbers)


def test_without_a_version_the_highest_that_answers_is_meant(models: Models, three: Version) -> None:
    assert find_for(models.registry, asking("m")) is three
    nine = models.add("m", 9, FakeGraph((float_signature(), add_and_subtract)))
    assert find_for(models.registry, asking("m")) is nine


def test_named_version_is_meant_though_a_higher_one_is_there(models: Models, three: Version) -> None:
    models.add("m", 9, FakeGraph((float_signature(), add_and_subtract)))
    assert find_for(models.registry, asking("m", version=3)) is three


def test_version_zero_means_the_latest_where_there_is_no_zero(models: Models, three: Version) -> None:
    """ovmsclient sends it with every call."""
    assert find_for(models.registry, asking("m", version=0)) is three


def test_version_zero_means_zero_where_there_is_one(models: Models, three: Version) -> None:
    zero = models.add("m", 0, FakeGraph((float_signature(), add_and_subtract)))
    assert find_for(models.registry, asking("m", version=0)) is zero


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
        (asking("m", label="old"), InvalidCall, "Unrecognized servable version label: old"),
        (asking("x", label="stable"), InvalidCall, "Unrecognized servable version label: stable"),
        (asking("x", label=""), InvalidCall, "Unrecognized servable version label: "),
        (asking("m", version=3, label=""), InvalidCall, "Unrecognized servable version label: "),
    ],
)
@pytest.mark.usefixtures("three")
def test_reason_why_there_is_no_version_is_told_in_tensorflow_servings_words(
    models: Models, request_: Any, error: type[CallError], text: str
) -> None:
    with pytest.raises(error) as raised:
        find_for(models.registry, request_)
    assert type(raised.value) is error
    assert str(raised.value) == text


def test_model_of_which_no_version_answers_is_not_found(models: Models) -> None:
    models.add("m", 1, FakeGraph(), live=False)
    with pytest.raises(NotFound, match=r"Servable not found for request: Latest\(m\)"):
        find_for(models.registry, asking("m"))


def test_label_means_the_version_that_it_points_to(models: Models, three: Version) -> None:
    nine = models.add("m", 9, FakeGraph((float_signature(), add_and_subtract)))
    label(models, stable=3, canary=9)
    assert find_for(models.registry, asking("m", label="stable")) is three
    assert find_for(models.registry, asking("m", label="canary")) is nine


def test_label_of_a_version_that_still_loads_is_unknown(models: Models, three: Version) -> None:
    label(models, canary=12)
    with pytest.raises(InvalidCall, match="Unrecognized servable version label: canary"):
        find_for(models.registry, asking("m", label="canary"))


def test_label_that_is_the_number_of_a_version_means_it(models: Models, three: Version) -> None:
    """perf_analyzer sends the version that it is told to call as a label."""
    models.add("m", 9, FakeGraph((float_signature(), add_and_subtract)))
    assert find_for(models.registry, asking("m", label="3")) is three


def test_label_that_was_given_is_never_read_as_a_number(models: Models, three: Version) -> None:
    nine = models.add("m", 9, FakeGraph((float_signature(), add_and_subtract)))
    label(models, **{"3": 9, "9": 12})
    assert find_for(models.registry, asking("m", label="3")) is nine
    with pytest.raises(InvalidCall, match="Unrecognized servable version label: 9"):
        find_for(models.registry, asking("m", label="9"))


@pytest.mark.parametrize("number", ["7", "12", "-3", "+3", " 3", "3.0", "٣", "9" * 5000])
def test_label_that_is_no_number_of_a_live_version_is_unknown(
    models: Models, three: Version, number: str
) -> None:
    with pytest.raises(InvalidCall, match="Unrecognized servable version label: "):
        find_for(models.registry, asking("m", label=number))


def test_of_number_and_label_the_last_one_counts(models: Models, three: Version) -> None:
    models.add("m", 9, FakeGraph((float_signature(), add_and_subtract)))
    label(models, canary=9)
    number, named = asking("m", version=3), asking("m", label="canary")
    for first, last in ((number, named), (named, number)):
        both = predict_pb2.PredictRequest.FromString(first.SerializeToString() + last.SerializeToString())
        expected = find_for(models.registry, last)
        assert find_for(models.registry, both) is expected


def test_look_up_finds_nothing_where_there_is_no_name(models: Models, three: Version) -> None:
    assert look_up(models.registry, wanted(model_pb2.ModelSpec())) is None
    assert look_up(models.registry, wanted(model_pb2.ModelSpec(name="m"))) is three


def test_signature_is_serving_default_unless_it_is_named() -> None:
    assert signature_name(model_pb2.ModelSpec()) == "serving_default"
    assert signature_name(model_pb2.ModelSpec(signature_name="s")) == "s"


def test_answer_says_version_zero_too(models: Models) -> None:
    zero = models.add("m", 0, FakeGraph((float_signature(), add_and_subtract)))
    spec = answered(zero, "s")
    assert (spec.name, spec.signature_name) == ("m", "s")
    assert spec.HasField("version")
    assert spec.version.value == 0
