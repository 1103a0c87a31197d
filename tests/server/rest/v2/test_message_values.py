"""Messages as values for JSON: every kind of field, said and unsaid."""

from __future__ import annotations

import json

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from hotgraph_protos import open_inference as pb
from hotgraph_server.rest.json.text import write
from hotgraph_server.rest.v2.message_values import values_of


def typed(message: Message, **numbers: int) -> Message:
    """The message, with enums by their numbers, of which mypy knows none."""
    for name, number in numbers.items():
        setattr(message, name, number)
    return message


def test_whole_numbers_are_numbers_whatever_their_width() -> None:
    values = values_of(pb.SystemSharedMemoryStatusResponse.RegionStatus(offset=2**64 - 1, byte_size=1))
    assert values == {"name": "", "key": "", "offset": 2**64 - 1, "byte_size": 1}
    assert json.loads(write(values)) == values


def test_message_and_member_of_a_oneof_are_there_if_they_are_set() -> None:
    assert values_of(pb.ModelRepositoryParameter()) == {}
    assert values_of(pb.ModelRepositoryParameter(bool_param=False)) == {"bool_param": False}
    assert values_of(pb.ModelRepositoryParameter(bytes_param=b"\xff\0")) == {"bytes_param": "/wA="}
    assert values_of(pb.ModelConfigResponse()) == {}
    assert "version_policy" not in values_of(pb.ModelConfig())
    assert values_of(pb.ModelConfig(version_policy={"all": {}}))["version_policy"] == {"all": {}}


def test_enums_have_names_and_unknown_ones_numbers() -> None:
    for number, name in ((8, "TYPE_INT32"), (8000, 8000)):
        assert values_of(typed(pb.ModelInput(), data_type=number))["data_type"] == name


def test_maps_are_objects_in_the_order_of_their_keys() -> None:
    response = pb.TraceSettingResponse()
    for name in ("b", "a", "c"):
        response.settings[name].value.append(name)
    settings = values_of(response)["settings"]
    assert list(settings) == ["a", "b", "c"]
    assert settings["b"] == {"value": ["b"]}


def test_floats_have_as_few_digits_as_their_width_needs() -> None:
    control = pb.ModelSequenceBatching.Control(fp32_false_true=[0.1, 1])
    assert json.loads(write(values_of(control)))["fp32_false_true"] == [0.1, 1.0]


def test_but_for_the_numbers_it_is_what_protobuf_says() -> None:
    config = pb.ModelConfig(name="m", max_batch_size=4)
    config.parameters["p"].string_value = "v"
    config.input.add(name="x", data_type=11, reshape={"shape": []})
    config.instance_group.add(kind=2, count=1)
    config.dynamic_batching.preferred_batch_size.extend([1, 2])
    typed(config.dynamic_batching.priority_queue_policy[7], timeout_action=1)
    expected = MessageToDict(
        config, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    found = json.loads(write(values_of(config)))

    def with_strings(value: object, like: object) -> object:
        if isinstance(value, dict) and isinstance(like, dict):
            return {key: with_strings(one, like.get(key)) for key, one in value.items()}
        if isinstance(value, list) and isinstance(like, list):
            return [with_strings(one, other) for one, other in zip(value, like, strict=True)]
        return str(value) if isinstance(like, str) else value

    assert with_strings(found, expected) == expected
