from __future__ import annotations

import random

from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from fuzzing import wire_mutation
from fuzzing.mutation import Mutator
from hotgraph_protos import open_inference as pb


def call() -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="m", id="7", raw_input_contents=[b"\0" * 8, b"\1" * 8])
    request.inputs.add(name="a", datatype="FP32", shape=[1, 2]).parameters["p"].int64_param = 1
    request.inputs.add(name="b", datatype="FP32", shape=[1, 2]).contents.fp32_contents.extend([1.0, 2.0])
    request.outputs.add(name="y")
    return request


def cases(count: int, seed: int = 1) -> list[bytes]:
    mutator = Mutator([call()], ["m", "signature_name"])
    return [mutator.case(random.Random(f"{seed} {number}")) for number in range(count)]


def parsed(messages: list[bytes]) -> list[pb.ModelInferRequest]:
    found = []
    for message in messages:
        try:
            found.append(pb.ModelInferRequest.FromString(message))
        except DecodeError:
            continue
    return found


def test_case_follows_from_seed_and_number() -> None:
    assert cases(50) == cases(50)
    assert cases(50) != cases(50, seed=2)


def test_most_cases_are_messages_and_differ_from_the_valid_one() -> None:
    messages = cases(500)
    assert len(set(messages)) > 300
    assert 300 < len(parsed(messages)) < 500
    assert call().SerializeToString() in messages


def test_every_part_of_a_message_is_changed_somewhere() -> None:
    valid = call()
    found = parsed(cases(1000))
    for field, value in valid.ListFields():
        name = field.name
        assert any(getattr(one, name) != value for one in found), name
        assert any(not getattr(one, name) for one in found), name
    shapes = {tuple(tensor.shape) for one in found for tensor in one.inputs}
    assert any(dimension < 0 for shape in shapes for dimension in shape)
    assert any(dimension > 2**31 for shape in shapes for dimension in shape)
    assert any(len(one.inputs) > 40 for one in found)
    assert {"signature_name"} < {name for one in found for name in one.parameters}


def test_valid_messages_are_left_as_they_are() -> None:
    message = call()
    Mutator([message], []).case(random.Random(1))
    assert message == call()


@given(st.binary(max_size=60), st.integers(0, 1000))
def test_any_bytes_can_be_spoiled(message: bytes, seed: int) -> None:
    for each in range(20):
        assert isinstance(wire_mutation.mutate(message, random.Random(seed + each)), bytes)
