from __future__ import annotations

import json
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_protos import tensors as wire
from hotgraph_server.errors import InvalidCall, Unsupported
from hotgraph_server.protocols.v2.tensor_parameters import SharedMemory
from hotgraph_server.rest.v2 import infer_answer
from hotgraph_server.rest.v2.infer_answer import Head, Output, write_answer
from hotgraph_server.transport.http import Content

from ...protocols.fakes import spec, strings
from .http_calls import Got, got
from .test_values import arrays

HEAD = Head("m", 3, "")


def answer(
    arrays: dict[str, Any], *binary: bool, head: Head = HEAD, elsewhere: dict[str, SharedMemory] | None = None
) -> Content:
    specs = [spec(name, array.dtype, *array.shape) for name, array in arrays.items()]
    return write_answer(head, specs, list(arrays.values()), binary, elsewhere)


def read(answer: Got) -> dict[str, Any]:
    """The arrays of an answer, by name."""
    found: dict[str, Any] = {}
    at = 0
    for name, output in answer.outputs.items():
        if "data" in output:
            dtype = wire.dtype_of(output["datatype"])
            values = output["data"]
            if output["datatype"] == "BYTES":
                values = [value.encode() for value in values]
            # Which knows no names of numbers.
            own = np.float32 if output["datatype"] == "BF16" else dtype
            found[name] = np.array(values, own).astype(dtype).reshape(output["shape"])
            continue
        size = output["parameters"]["binary_data_size"]
        found[name] = wire.decode_raw(output["datatype"], output["shape"], answer.tails[at : at + size])
        at += size
    assert at == len(answer.tails)
    return found


def test_json_is_compact_and_its_members_have_their_order() -> None:
    content = answer({"OUTPUT0": np.array([[1, 2]], np.int32)}, False, head=Head("simple", 1, "abc"))
    assert content.kind == "application/json"
    assert list(content.headers) == []
    assert b"".join(content) == (
        b'{"id":"abc","model_name":"simple","model_version":"1","outputs":[{"name":"OUTPUT0","datatype":"INT32",'
        b'"shape":[1,2],"data":[1,2]}]}'
    )


def test_without_an_id_there_is_none() -> None:
    assert "id" not in got(answer({"y": np.zeros(1)}, False)).json


def test_bytes_follow_the_json_whose_length_a_header_says() -> None:
    found = got(answer({"y": np.arange(4, dtype=np.int32).reshape(2, 2)}, True))
    assert found.kind == "application/octet-stream"
    assert found.json == {
        "model_name": "m",
        "model_version": "3",
        "outputs": [
            {"name": "y", "datatype": "INT32", "shape": [2, 2], "parameters": {"binary_data_size": 16}}
        ],
    }
    assert found.tails == np.arange(4, dtype=np.int32).tobytes()


@given(st.lists(st.tuples(arrays(), st.booleans()), min_size=1, max_size=4), st.sampled_from(["", 'é"']))
def test_array_that_was_written_either_way_is_the_same_array(
    cases: list[tuple[tuple[str, Any], bool]], request_id: str
) -> None:
    given = {f"y{index}": array for index, ((_, array), _) in enumerate(cases)}
    found = got(answer(given, *[binary for _, binary in cases], head=Head("m", 3, request_id)))
    assert found.json.get("id", "") == request_id
    assert [output["datatype"] for output in found.outputs.values()] == [name for (name, _), _ in cases]
    again = read(found)
    assert list(again) == list(given)
    for name, array in given.items():
        assert again[name].dtype == array.dtype
        if array.dtype.kind in "fV":
            np.testing.assert_array_equal(again[name].astype(np.float64), array.astype(np.float64))
        else:
            assert again[name].tolist() == array.tolist()


@pytest.mark.parametrize("request_id", ["", "an id"])
def test_large_tensors_are_not_copied(request_id: str) -> None:
    first, second = np.zeros((2, 10_000), np.float32), np.zeros(10_000, ml_dtypes.bfloat16)
    content = answer({"a": first, "b": second}, True, True, head=Head("m", 3, request_id))
    assert [len(piece) for piece in content[1:]] == [first.nbytes, second.nbytes]
    for piece, array in zip(content[1:], (first, second), strict=True):
        assert np.shares_memory(np.frombuffer(piece, np.uint8), array.view(np.uint8))
    mixed = answer({"a": first, "b": second, "c": np.zeros(1)}, True, True, False)
    assert np.shares_memory(np.frombuffer(mixed[1], np.uint8), first)


def test_small_answers_are_one_piece() -> None:
    assert len(answer({"a": np.zeros(3), "b": np.zeros(3)}, True, True)) == 1


def test_empty_tensor_as_bytes_is_said_to_be_one() -> None:
    found = got(answer({"y": np.zeros((0, 3), np.float32)}, True))
    assert found.outputs["y"]["parameters"] == {"binary_data_size": 0}
    assert found.outputs["y"]["shape"] == [0, 3]
    assert found.tails == b""


def test_output_in_shared_memory_has_neither_data_nor_parameters() -> None:
    places = {"a": SharedMemory("r", 8, 16), "b": SharedMemory("r", 0, 24)}
    found = got(
        answer({"a": np.zeros(2), "b": np.zeros(3), "c": np.ones(1)}, False, True, False, elsewhere=places)
    )
    assert found.kind == "application/json"
    # NVIDIA's C++ client wants the size of what lies behind the JSON of every output that has parameters.
    assert found.outputs["a"] == {"name": "a", "datatype": "FP64", "shape": [2]}
    assert found.outputs["b"] == {"name": "b", "datatype": "FP64", "shape": [3]}
    assert found.outputs["c"]["data"] == [1.0]


@pytest.mark.parametrize("binary", [False, True])
def test_dtype_that_the_protocol_has_no_name_for_is_refused(binary: bool) -> None:
    with pytest.raises(Unsupported, match="'y' is complex64"):
        answer({"y": np.zeros(1, np.complex64)}, binary)


def test_bytes_that_are_no_text_are_refused_as_json_and_sent_as_bytes() -> None:
    with pytest.raises(InvalidCall, match="binary_data"):
        answer({"y": strings(b"\xff")}, False)
    assert got(answer({"y": strings(b"\xff")}, True)).tails == b"\1\0\0\0\xff"


def test_only_what_becomes_json_is_announced() -> None:
    class Reply:
        json_bytes_out = 0

    reply = Reply()
    array = np.zeros(1000, np.float32)
    infer_answer.announce(reply, [array, array], [True, True])
    assert reply.json_bytes_out == 0
    infer_answer.announce(reply, [array, array], [True, False])
    assert reply.json_bytes_out > 4000


def test_json_is_written_where_the_caller_says_and_without_the_bytes() -> None:
    asked: list[Any] = []

    def write(head: Head, outputs: Any) -> bytes:
        asked.extend(outputs)
        return infer_answer.write_text(head, outputs)

    large = np.zeros(100, np.float32)
    specs = [spec("a", np.float32, 100), spec("b", ml_dtypes.bfloat16, 1)]
    values = np.ones(1, ml_dtypes.bfloat16)
    found = write_answer(HEAD, specs, [large, values], (True, False), write=write)
    assert got(found).tails == large.tobytes()
    assert asked[0] == Output("a", "FP32", (100,), None, {"binary_data_size": 400})
    # Other processes know numpy's own dtypes only.
    assert asked[1].values.dtype == np.float32
    assert json.loads(got(found).text)["outputs"][1]["datatype"] == "BF16"
