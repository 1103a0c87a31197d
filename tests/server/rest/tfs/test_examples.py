from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_serving.apis import classification_pb2, regression_pb2

from hotgraph_server.errors import InvalidCall
from hotgraph_server.rest.tfs.examples import read_request, write_classes, write_values


def filled(body: dict[str, Any]) -> Any:
    """The tensorflow.serving.Input of a request."""
    _, examples = read_request(json.dumps(body).encode())
    return classification_pb2.ClassificationRequest.FromString(examples).input


def features(example: Any) -> dict[str, Any]:
    return {
        name: (kind, list(getattr(feature, kind).value)) if (kind := feature.WhichOneof("kind")) else None
        for name, feature in example.features.feature.items()
    }


def test_values_say_what_kind_a_feature_is() -> None:
    example = {
        **{"f": 1.5, "fs": [1.0, 1e3, math.nan], "i": 1, "is": [1, -(2**63), 2**63 - 1]},
        **{"b": [True, False], "s": "é", "ss": ["a", {"b64": "/w=="}], "none": []},
    }
    (found,) = filled({"examples": [example]}).example_list.examples
    assert features(found)["f"] == ("float_list", [1.5])
    assert repr(features(found)["fs"]) == "('float_list', [1.0, 1000.0, nan])"
    assert features(found)["i"] == ("int64_list", [1])
    assert features(found)["is"] == ("int64_list", [1, -(2**63), 2**63 - 1])
    assert features(found)["b"] == ("int64_list", [1, 0])
    assert features(found)["s"] == ("bytes_list", ["é".encode()])
    assert features(found)["ss"] == ("bytes_list", [b"a", b"\xff"])
    assert features(found)["none"] is None


def test_context_is_an_example_beside_the_others() -> None:
    found = filled({"context": {"c": 1}, "examples": [{"a": 1}, {"a": 2}]}).example_list_with_context
    assert features(found.context) == {"c": ("int64_list", [1])}
    assert [features(one) for one in found.examples] == [
        {"a": ("int64_list", [1])},
        {"a": ("int64_list", [2])},
    ]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "When method is classify, key 'examples' is expected and was not found"),
        ({"examples": {}}, "Expecting 'examples' value to be an list/array"),
        ({"examples": []}, "'examples' value is an empty array"),
        ({"examples": [1]}, "Example must be JSON object but got JSON Number"),
        ({"context": [], "examples": [{}]}, "Example must be JSON object but got JSON Array"),
        ({"examples": [{"a": None}]}, "Feature: a has element with unexpected JSON type: Null"),
        ({"examples": [{"a": [[1]]}]}, "Feature: a has element with unexpected JSON type: Array"),
        ({"examples": [{"a": {"x": 1}}]}, "Feature: a has element with unexpected JSON type: Object"),
        ({"examples": [{"a": [1.5, 1]}]}, "Unexpected element type in feature: a expecting type: float"),
        ({"examples": [{"a": [1, 1.5]}]}, "Unexpected element type in feature: a expecting type: int64"),
        ({"examples": [{"a": ["", 1]}]}, "Unexpected element type in feature: a expecting type: bytes"),
        ({"examples": [{"a": 2**63}]}, "Feature: a has uint64 element. Only int64 is supported."),
        ({"examples": [{"a": 1e39}]}, "Cannot convert JSON value: 1e+39 to float without loss of precision."),
        ({"examples": [{"a": {"b64": "?"}}]}, "Unable to base64 decode"),
        ({"examples": [{"\ud800": 1}], "also": math.nan}, "is no valid Unicode"),
    ],
)
def test_wrong_examples_are_refused_in_known_words(body: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidCall) as error:
        filled(body)
    assert str(error.value).endswith(text)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=8,
)


@given(st.fixed_dictionaries({}, optional={"examples": ANYTHING | st.lists(ANYTHING), "context": ANYTHING}))
def test_garbage_raises_one_type_of_error(body: dict[str, Any]) -> None:
    try:
        found = filled(body)
    except InvalidCall:
        return
    assert found.WhichOneof("kind") == ("example_list_with_context" if "context" in body else "example_list")


def test_classes_are_pairs_of_label_and_score() -> None:
    result = classification_pb2.ClassificationResult()
    row = result.classifications.add()
    row.classes.add(label="a", score=0.1)
    row.classes.add(label="é")
    result.classifications.add()
    assert json.loads(write_classes(result)) == {"results": [[["a", 0.1], ["é", 0.0]], []]}
    row.classes[0].score = math.inf
    assert json.loads(write_classes(result))["results"][0][0] == ["a", math.inf]


def test_regressions_are_numbers() -> None:
    result = regression_pb2.RegressionResult()
    result.regressions.add(value=0.1)
    assert json.loads(write_values(result)) == {"results": [0.1]}
    result.regressions.add(value=-math.inf)
    assert json.loads(write_values(result)) == {"results": [0.1, -math.inf]}


def test_empty_results_are_errors() -> None:
    with pytest.raises(InvalidCall, match="empty ClassificationResults"):
        write_classes(classification_pb2.ClassificationResult())
    with pytest.raises(InvalidCall, match="empty RegressionResults"):
        write_values(regression_pb2.RegressionResult())
