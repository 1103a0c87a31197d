"""What requests say of single tensors."""

from __future__ import annotations

from typing import Any

import pytest

from hotgraph_protos import open_inference as pb
from hotgraph_server.errors import InvalidCall
from hotgraph_server.protocols.v2.tensor_parameters import SharedMemory, classes_of, shared_memory_of


def tensor(**parameters: Any) -> Any:
    made = pb.ModelInferRequest.InferRequestedOutputTensor(name="t")
    for name, value in parameters.items():
        kind = {str: "string_param", int: "int64_param", bool: "bool_param", float: "double_param"}[
            type(value)
        ]
        setattr(made.parameters[name], kind, value)
    return made


def test_without_parameters_a_tensor_is_in_the_message() -> None:
    assert shared_memory_of(tensor()) is None
    assert shared_memory_of(tensor(binary_data=True)) is None
    assert classes_of(tensor()) == 0


def test_place_in_shared_memory_is_a_region_an_offset_and_a_size() -> None:
    place = {"shared_memory_region": "r", "shared_memory_byte_size": 8}
    assert shared_memory_of(tensor(**place)) == SharedMemory("r", 0, 8)
    assert shared_memory_of(tensor(**place, shared_memory_offset=16)) == SharedMemory("r", 16, 8)


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"shared_memory_region": 1, "shared_memory_byte_size": 8}, "expected string_param"),
        ({"shared_memory_region": "r", "shared_memory_byte_size": "8"}, "expected int64_param"),
        ({"shared_memory_region": "r", "shared_memory_byte_size": True}, "expected int64_param"),
        ({"shared_memory_region": "r"}, "'shared_memory_byte_size' must be specified"),
        (
            {"shared_memory_region": "r", "shared_memory_byte_size": 8, "shared_memory_offset": 0.5},
            "invalid value type for 'shared_memory_offset' parameter for tensor 't'",
        ),
        ({"shared_memory_region": "r", "shared_memory_byte_size": -1}, "-1, expected >= 0"),
        (
            {"shared_memory_region": "r", "shared_memory_byte_size": 8, "shared_memory_offset": -8},
            "invalid value for 'shared_memory_offset' parameter",
        ),
        ({"shared_memory_offset": 8}, "can not be specified without 'shared_memory_region'"),
        ({"shared_memory_byte_size": 8}, "can not be specified without 'shared_memory_region'"),
    ],
)
def test_place_that_is_none_is_refused(parameters: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidCall, match=says):
        shared_memory_of(tensor(**parameters))


def test_classes_are_a_number_above_zero() -> None:
    assert classes_of(tensor(classification=3)) == 3
    for wrong in (0, -1):
        with pytest.raises(
            InvalidCall, match=f"invalid value for 'classification' .*: {wrong}, expected > 0"
        ):
            classes_of(tensor(classification=wrong))
    for kind in ("3", True, 3.0):
        with pytest.raises(
            InvalidCall, match=r"invalid value type for 'classification'.*expected int64_param"
        ):
            classes_of(tensor(classification=kind))
