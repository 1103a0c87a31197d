from __future__ import annotations

import json
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from hotgraph_server.rest.openapi import document as module
from hotgraph_server.rest.openapi.describing import describe
from hotgraph_server.rest.openapi.document import About, document, escaped, part

from ...fakes import idle_version
from .known import ABOUT, ODD, examples, one_to_one, operations, resolved, validator, written

EVERYTHING = written(*ODD.values())


def words(path: str, found: Any = EVERYTHING) -> str:
    return str(found["paths"][path]["post"]["description"])


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [found for value in node.values() for found in references(value)]
    return [found for value in node for found in references(value)] if isinstance(node, list) else []


@pytest.mark.parametrize("name", ["", *ODD])
def test_it_is_valid_openapi(name: str) -> None:
    OpenAPIV31SpecValidator(written(ODD[name]) if name else EVERYTHING).validate()


def test_without_models_it_is_valid_too() -> None:
    OpenAPIV31SpecValidator(written()).validate()


def test_every_reference_leads_somewhere() -> None:
    found = references(EVERYTHING)
    assert len(found) > 100
    for one in set(found):
        assert resolved(EVERYTHING, {"$ref": one})


def test_operations_have_ids_of_their_own() -> None:
    ids = [one["operationId"] for _, _, one in operations(EVERYTHING) if "operationId" in one]
    assert len(ids) == len(set(ids)) == 4 * len(ODD)


def test_every_operation_is_under_a_tag_that_is_told() -> None:
    told = [tag["name"] for tag in EVERYTHING["tags"]]
    assert len(told) == len(set(told))
    assert {tag for _, _, one in operations(EVERYTHING) for tag in one["tags"]} == set(told)


def test_every_example_is_what_its_schema_says() -> None:
    found = list(examples(EVERYTHING))
    assert len(found) > 80
    for path, name, body, schema in found:
        errors = list(validator(EVERYTHING, schema).iter_errors(body))
        assert not errors, (path, name, errors)


def test_every_model_that_can_be_called_has_an_example_in_both_protocols() -> None:
    with_examples = {path for path, _, _, _ in examples(EVERYTHING)}
    for name in ODD.keys() - {"complex", "complex out", "nothing in", "large", "a/b c%é{x}"}:
        shown = name.replace(" ", "%20")
        assert f"/v2/models/{shown}/infer" in with_examples
        assert f"/v1/models/{shown}/versions/{ODD[name].number}:predict" in with_examples


def test_another_call_than_the_examples_is_refused_by_the_schema() -> None:
    """A schema that takes everything says nothing."""
    bad = {
        "/v2/models/plain/infer": [
            {},
            {"inputs": []},
            {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [0.5, 1]}]},
            {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [0.5]}]},
            {"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2], "data": []}]},
            {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": ["a", "b"]}]},
            {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2]}]},
            {"inputs": [{"name": "z", "datatype": "FP32", "shape": [1, 2], "data": [0.5, 1]}]},
            {"inputs": [{"name": "x", "datatype": "FP64", "shape": [1, 2], "data": [0.5, 1]}]},
        ],
        "/v1/models/plain:predict": [{}, {"instances": []}, {"instances": [[1, 2, 3]]}, {"inputs": ["a"]}],
    }
    schemas = {path: schema for path, _, _, schema in examples(EVERYTHING)}
    for path, bodies in bad.items():
        for body in bodies:
            assert not validator(EVERYTHING, schemas[path]).is_valid(body), body


def test_names_are_percent_encoded_in_paths() -> None:
    assert "/v2/models/a%2Fb%20c%25%C3%A9%7Bx%7D/infer" in EVERYTHING["paths"]
    assert "/v1/models/a%2Fb%20c%25%C3%A9%7Bx%7D/versions/1:predict" in EVERYTHING["paths"]


@pytest.mark.parametrize("name", ["a.b", "a b", "a..b", "a%b", "..", "é", "-", "a/b"])
def test_names_of_components_are_theirs_alone(name: str) -> None:
    assert escaped(name).replace(".", "").replace("-", "").isalnum() or name == "-"
    assert ".." not in escaped(name)
    assert len({escaped(one) for one in (name, "a.2eb", "a", "b")}) == 4


def test_shapes_and_datatypes_are_told_in_words_and_in_the_schema() -> None:
    assert "`x` (FP32 [-1, -1, 3, -1])" in words("/v2/models/free/infer")
    assert "of any rank" in words("/v2/models/unknown%20rank/infer")
    assert "`x` (BYTES [-1], JPEG images)" in words("/v1/models/pictures:predict")
    assert "`factor` (FP32 [], may be left out)" in words("/v2/models/two/infer")


def test_what_json_cannot_carry_cannot_be_called_and_that_is_said() -> None:
    for path in ("/v2/models/complex/infer", "/v1/models/complex:predict"):
        assert "It cannot be called here: input 'x' is complex64" in words(path)
        assert "200" not in EVERYTHING["paths"][path]["post"]["responses"]
    assert "output 'z' is complex64" in words("/v1/models/complex%20out:predict")
    # There an output can be chosen.
    (example,) = [
        body for path, _, body, _ in examples(EVERYTHING) if path == "/v2/models/complex%20out/infer"
    ]
    assert example["outputs"] == [{"name": "y"}]


def test_a_signature_without_inputs_can_be_called_by_infer_alone() -> None:
    assert "it has no inputs" in words("/v1/models/nothing%20in:predict")
    (example,) = [
        body for path, _, body, _ in examples(EVERYTHING) if path == "/v2/models/nothing%20in/infer"
    ]
    assert example == {"inputs": []}


def test_an_example_that_would_be_too_large_is_left_out_and_that_is_said() -> None:
    assert "There is no example: one row has 150528 values" in words("/v2/models/large/infer")


def test_signatures_that_cannot_be_called_are_named() -> None:
    assert "Signature `broken` cannot be called: it fails." in words("/v2/models/unusable/infer")


def test_calls_that_change_state_are_told() -> None:
    assert "changes the state" in words("/v1/models/writes:predict")


def test_another_signature_has_to_be_named() -> None:
    found = {(path, name): body for path, name, body, _ in examples(EVERYTHING)}
    path = "/v2/models/several/infer"
    assert "parameters" not in found[path, "serving_default"]
    assert found[path, "other"]["parameters"] == {"signature_name": "other"}
    assert found["/v1/models/several:predict", "other"]["signature_name"] == "other"
    # What calls mean that name none comes first: it is what a page shows.
    assert next(name for one, name, _, _ in examples(EVERYTHING) if one == path) == "serving_default"


def test_calls_without_a_version_mean_the_latest() -> None:
    two = written(idle_version("m", 7, one_to_one(shape=(None, 7))), idle_version("m", 2, one_to_one()))
    assert "[-1, 7]" in words("/v2/models/m/infer", two)
    assert "[-1, 2]" in words("/v2/models/m/versions/2/infer", two)
    assert [tag["name"] for tag in two["tags"]].count("model m") == 1


def test_the_same_versions_give_the_same_bytes() -> None:
    once, again = ([part(describe(version)) for version in ODD.values()] for _ in range(2))
    assert document(ABOUT, once) == document(ABOUT, again)


def test_what_would_make_it_too_large_is_left_to_the_generic_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    large = part(describe(idle_version("a", 2, *(one_to_one(f"s{number}") for number in range(50)))))
    old = part(describe(idle_version("a", 1, one_to_one())))
    small = part(describe(idle_version("b", 1, one_to_one())))
    monkeypatch.setattr(module, "MAX_BYTES", large.nbytes - 1)
    found = json.loads(document(ABOUT, [large, old, small]))
    assert "/v2/models/b/infer" in found["paths"]
    assert "1 further versions are not shown" in found["info"]["description"]
    # Calls that name no version get the one that is left out.
    assert "/v2/models/a/infer" not in found["paths"]
    assert "/v2/models/a/versions/1/infer" in found["paths"]
    assert "/v2/models/{model_name}/infer" in found["paths"]


def test_a_part_knows_its_size() -> None:
    one = part(describe(ODD["plain"]))
    with_it, without = document(ABOUT, [one]), document(ABOUT, [])
    assert one.nbytes < len(with_it) - len(without) < one.nbytes + 1000


def test_keys_are_told_where_there_are_any() -> None:
    assert "security" not in EVERYTHING
    with_keys = written(ODD["plain"], about=About("a server", "1.2", keys=True))
    OpenAPIV31SpecValidator(with_keys).validate()
    assert with_keys["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    # Some paths need none.
    assert with_keys["security"] == [{"key": []}, {}]
